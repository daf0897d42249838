// Filtering, reading values out of charts, enlarging pictures, zooming the matrix; the page is readable without.
(() => {
  "use strict";
  const all = (selector, inside) => [...(inside || document).querySelectorAll(selector)];
  const make = (tag, values) => Object.assign(document.createElement(tag), values);

  for (const field of all("[data-filter]")) {
    const rows = [...document.getElementById(field.dataset.filter).tBodies[0].rows];
    const count = document.querySelector('[data-count="' + field.dataset.filter + '"]');
    field.closest("[hidden]").hidden = false;
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
        shown += !row.hidden;
      }
      count.textContent = wanted ? shown + " of " + rows.length : "";
    });
  }

  for (const chart of all("svg.plot[data-values]")) {
    const values = JSON.parse(chart.dataset.values), readout = chart.parentElement.querySelector(".readout");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("class", "cursor");
    chart.append(line);
    chart.setAttribute("tabindex", "0");
    let place = -1;
    const show = to => {
      place = Math.max(0, Math.min(values.at.length - 1, to));
      line.setAttribute("d", "M" + values.at[place] + " 14V236");
      const parts = values.series.filter(one => one.y[place] !== "").map(one => one.name + " " + one.y[place]);
      if (readout) readout.textContent = values.title + " " + values.x[place] + ": " + parts.join(", ");
    };
    const hide = () => { place = -1; line.removeAttribute("d"); if (readout) readout.textContent = ""; };
    chart.addEventListener("pointermove", event => {
      const box = chart.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
      let best = 0;
      values.at.forEach((at, i) => { if (Math.abs(at - x) < Math.abs(values.at[best] - x)) best = i; });
      show(best);
    });
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", event => {
      const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: values.at.length - 1 }[event.key];
      if (event.key === "Escape") hide();
      if (to === undefined) return;
      event.preventDefault();
      show(to);
    });
  }

  const viewer = document.getElementById("viewer"), cards = all(".card");
  let open = -1;
  const view = to => {
    open = (to + cards.length) % cards.length;
    const card = cards[open], both = viewer.querySelector(".both");
    const shown = all("img", card).map(image => {
      const figure = make("figure"), heat = image.classList.contains("heat");
      figure.append(make("img", { src: image.src, alt: heat ? "Grad-CAM" : card.dataset.facts }),
        make("figcaption", { textContent: heat ? card.dataset.heat : "As the network saw it" }));
      return figure;
    });
    both.classList.toggle("pixels", Boolean(card.closest(".pixels")));
    both.replaceChildren(...shown);
    viewer.querySelector("#viewer-title").textContent = card.dataset.title;
    viewer.querySelector(".facts").textContent = card.dataset.facts;
    if (!viewer.open) viewer.showModal();
  };
  cards.forEach((card, i) => card.addEventListener("click", () => view(i)));
  if (viewer) {
    all("[data-step]", viewer).forEach(button =>
      button.addEventListener("click", () => view(open + Number(button.dataset.step))));
    const back = () => { if (open >= 0) cards[open].focus(); };
    const shut = () => { viewer.close(); back(); };
    viewer.querySelector("[data-close]").addEventListener("click", shut);
    viewer.addEventListener("click", event => { if (event.target === viewer) shut(); });
    viewer.addEventListener("close", back);  // by Escape
    viewer.addEventListener("keydown", event => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) { event.preventDefault(); view(open + step); }
    });
  }

  for (const zoom of all(".zoom")) {
    const canvas = zoom.querySelector("canvas"), readout = zoom.querySelector(".readout");
    const { names, n, cells } = JSON.parse(zoom.querySelector("script").textContent);
    const count = names.length, found = new Map(cells.map(cell => [cell[0] * count + cell[1], cell[2]]));
    const errors = cells.filter(cell => cell[0] !== cell[1]).sort((a, b) => b[2] - a[2]);
    let left = 0, top = 0, span = count, truth = 0, predicted = 0, marked = false, next = 0, frame = 0;
    const margin = () => span <= 60 ? Math.min(130, canvas.clientWidth * 0.28) : 0;
    const side = () => (canvas.clientWidth - margin()) / span;
    const clamp = () => {
      span = Math.max(Math.min(span, count), Math.min(8, count));
      left = Math.max(0, Math.min(left, count - span));
      top = Math.max(0, Math.min(top, count - span));
    };
    const short = (name, pen, room) => {
      if (pen.measureText(name).width <= room) return name;
      let text = name.slice(0, 60);
      while (text.length > 1 && pen.measureText(text + "…").width > room) text = text.slice(0, -1);
      return text + "…";
    };
    const paint = () => {
      frame = 0;
      const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;
      canvas.width = canvas.height = Math.round(width * ratio);
      const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
      const color = name => style.getPropertyValue(name).trim();
      const dark = matchMedia("(prefers-color-scheme: dark)").matches;
      pen.scale(ratio, ratio);
      const edge = margin(), size = side(), drawn = Math.max(size - (size > 6 ? 1 : 0), 1.6);
      pen.strokeStyle = color("--line");
      pen.strokeRect(edge + 0.5, edge + 0.5, width - edge - 1, width - edge - 1);
      pen.save();
      pen.beginPath();
      pen.rect(edge, edge, width - edge, width - edge);
      pen.clip();
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.font = "11px system-ui, sans-serif";
      // Errors are drawn last, above the diagonal.
      for (const [t, p, value] of [...cells].reverse()) {
        if (t < top - 1 || t > top + span || p < left - 1 || p > left + span) continue;
        const share = value / Math.max(n[t], 1), shade = Math.min(Math.max(Math.round(8 * Math.sqrt(share)), 1), 8);
        const x = edge + (p - left) * size, y = edge + (t - top) * size;
        pen.fillStyle = t === p || size > 6 ? color("--s" + shade) : color(shade > 2 ? "--orange" : "--red");
        pen.fillRect(x, y, drawn, drawn);
        if (size >= 20) {
          pen.fillStyle = (shade >= 6) === dark ? "#0b1520" : "#fff";
          pen.fillText(value, x + size / 2, y + size / 2);
        }
      }
      if (marked) {
        pen.strokeStyle = color("--ink");
        pen.lineWidth = 2;
        pen.strokeRect(edge + (predicted - left) * size - 1, edge + (truth - top) * size - 1, Math.max(size, 4) + 1, Math.max(size, 4) + 1);
      }
      pen.restore();
      if (!edge) return;
      pen.fillStyle = color("--ink");
      pen.textBaseline = "middle";
      for (let i = Math.ceil(top); i < Math.min(top + span, count) && size >= 9; i++) {
        pen.textAlign = "right";
        pen.fillText(short(names[i], pen, edge - 8), edge - 5, edge + (i - top + 0.5) * size);
      }
      for (let i = Math.ceil(left); i < Math.min(left + span, count) && size >= 9; i++) {
        pen.save();
        pen.translate(edge + (i - left + 0.5) * size, edge - 5);
        pen.rotate(-Math.PI / 2);
        pen.textAlign = "left";
        pen.fillText(short(names[i], pen, edge - 8), 0, 0);
        pen.restore();
      }
    };
    const draw = () => { frame = frame || requestAnimationFrame(paint); };
    const tell = () => {
      const value = found.get(truth * count + predicted) || 0, share = n[truth] ? (100 * value / n[truth]).toFixed(1) : "0.0";
      readout.textContent = names[truth] + ", " + (truth === predicted ? "predicted rightly" : "predicted as " + names[predicted]) +
        ": " + value + " of " + n[truth] + " (" + share + "%)";
    };
    const mark = (t, p) => {
      truth = Math.max(0, Math.min(count - 1, t));
      predicted = Math.max(0, Math.min(count - 1, p));
      marked = true;
      if (truth < top || truth >= top + span) top = truth - span / 2;
      if (predicted < left || predicted >= left + span) left = predicted - span / 2;
      clamp();
      tell();
      draw();
    };
    const scale = factor => {
      const x = marked ? predicted : left + span / 2, y = marked ? truth : top + span / 2;
      const before = span;
      span *= factor;
      clamp();
      left = x - (x - left) * span / before;
      top = y - (y - top) * span / before;
      clamp();
      draw();
    };
    const whole = () => { span = count; left = top = 0; draw(); };
    const actions = {
      in: () => scale(0.6), out: () => scale(1 / 0.6), all: whole,
      next: () => {
        if (!errors.length) return;
        const [t, p] = errors[next++ % errors.length];
        span = Math.min(24, count);
        left = p - span / 2;
        top = t - span / 2;
        clamp();
        mark(t, p);
      },
    };
    all("[data-zoom]", zoom).forEach(button => button.addEventListener("click", actions[button.dataset.zoom]));
    canvas.addEventListener("keydown", event => {
      const step = Math.max(1, Math.round(span / 40));
      const move = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] }[event.key];
      if (move) mark(truth + move[0], predicted + move[1]);
      else if (event.key === "+" || event.key === "=") actions.in();
      else if (event.key === "-") actions.out();
      else if (event.key === "0") whole();
      else return;
      event.preventDefault();
    });
    let drag = null;
    const cell = event => {
      const box = canvas.getBoundingClientRect(), edge = margin(), size = side();
      return [Math.floor(top + (event.clientY - box.top - edge) / size), Math.floor(left + (event.clientX - box.left - edge) / size)];
    };
    canvas.addEventListener("pointerdown", event => {
      drag = { x: event.clientX, y: event.clientY, left, top };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", event => {
      if (drag) {
        left = drag.left - (event.clientX - drag.x) / side();
        top = drag.top - (event.clientY - drag.y) / side();
        clamp();
        draw();
        return;
      }
      const [t, p] = cell(event);
      if (t < 0 || p < 0 || t >= count || p >= count) return;
      truth = t;
      predicted = p;
      tell();
    });
    canvas.addEventListener("pointerup", () => { drag = null; });
    canvas.addEventListener("dblclick", event => {
      const [t, p] = cell(event);
      if (t >= 0 && p >= 0 && t < count && p < count) { mark(t, p); actions.in(); }
    });
    canvas.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      scale(event.deltaY > 0 ? 1.25 : 0.8);
    }, { passive: false });
    new ResizeObserver(draw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    zoom.dataset.ready = "";
  }

  for (const cloud of all(".cloud")) {
    const found = JSON.parse(cloud.querySelector("script").textContent), map = cloud.querySelector("svg.map");
    const readout = cloud.querySelector(".readout"), canvas = cloud.querySelector("canvas");
    const sheet = map.querySelector("image"), source = sheet ? make("img", { src: sheet.getAttribute("href") }) : null;
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    ring.setAttribute("class", "ring");
    ring.setAttribute("r", 8);
    const choice = cloud.querySelector("select"), button = cloud.querySelector("[data-thumbs]");
    let place = -1;
    const wrong = i => found.truth[i] !== found.predicted[i];
    const chosen = i => choice.value === "" || (choice.value === "wrong" ? wrong(i) : found.truth[i] === Number(choice.value));
    const picture = i => {
      if (!canvas) return;
      const pen = canvas.getContext("2d"), scale = Math.min(canvas.width / found.width, canvas.height / found.height);
      pen.clearRect(0, 0, canvas.width, canvas.height);
      if (i < 0 || !found.shown[i]) return;
      pen.imageSmoothingQuality = "high";
      pen.imageSmoothingEnabled = Math.max(found.width, found.height) > 32;
      pen.drawImage(source, i % found.columns * found.cell[0], Math.floor(i / found.columns) * found.cell[1], found.width,
        found.height, 0, 0, found.width * scale, found.height * scale);
    };
    const show = i => {
      place = i;
      picture(i);
      if (i < 0) { ring.remove(); readout.textContent = ""; return; }
      ring.setAttribute("cx", found.at[i][0]);
      ring.setAttribute("cy", found.at[i][1]);
      map.append(ring);
      const said = (100 * found.confidence[i]).toFixed(1) + "%";
      readout.replaceChildren(make("strong", { textContent: found.names[found.truth[i]] }), ", predicted " +
        (wrong(i) ? "as " + found.names[found.predicted[i]] : "rightly") + " (" + said + ") ",
        make("span", { className: "file", textContent: found.files[i] }));
    };
    const nearest = (x, y, far) => {
      let best = -1;
      found.at.forEach((at, i) => {
        const distance = Math.hypot(at[0] - x, at[1] - y);
        if (chosen(i) && distance < far) { far = distance; best = i; }
      });
      return best;
    };
    const beside = (x, y) => {  // the nearest point within 45 degrees of a direction
      let best = place, far = Infinity;
      const [x0, y0] = found.at[place];
      found.at.forEach((at, i) => {
        const along = (at[0] - x0) * x + (at[1] - y0) * y, across = Math.abs((at[0] - x0) * y) + Math.abs((at[1] - y0) * x);
        if (i !== place && chosen(i) && along > 0 && across <= along && along + across < far) { far = along + across; best = i; }
      });
      return best;
    };
    map.setAttribute("tabindex", "0");
    map.addEventListener("pointermove", event => {
      const box = map.getBoundingClientRect(), unit = map.viewBox.baseVal.width / box.width;
      const i = nearest((event.clientX - box.left) * unit, (event.clientY - box.top) * unit, 40);
      if (i >= 0) show(i);
    });
    map.addEventListener("keydown", event => {
      const to = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
      if (event.key === "Escape") show(-1);
      if (!to) return;
      event.preventDefault();
      show(place < 0 ? nearest(map.viewBox.baseVal.width / 2, map.viewBox.baseVal.height / 2, Infinity) : beside(...to));
    });
    choice.addEventListener("change", () => {
      map.classList.toggle("dimmed", choice.value !== "");
      all("[data-i]", map).forEach(one => one.classList.toggle("on", chosen(Number(one.dataset.i))));
      show(-1);
    });
    if (button) button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", on);
      map.classList.toggle("with-thumbs", on);
    });
    all("[hidden]", cloud).forEach(one => { one.hidden = false; });
    const begin = () => show(Math.max(found.at.findIndex((at, i) => wrong(i)), 0));
    if (source) source.decode().then(begin, begin); else begin();
  }
})();
