"""The data set check: unreadable files, duplicates, leaks between splits, wrong labels of folders."""
