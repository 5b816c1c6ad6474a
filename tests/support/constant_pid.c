// A system that gives each process the same id, as one may that uses ids again: preload it.
int getpid(void) { return 1000; }
