/* Fails the n-th system call of a process that touches files: preloaded, see faults.py.

Only calls after fault_arm() count, and of mmap only those that map a file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SHORT = -1, KILL = -2 };

static long left = -1;   /* Calls until the fault; below 0: none is to come. */
static long counted = 0; /* Calls since fault_arm(). */
static int fault = 0;    /* An errno, SHORT or KILL. */
static int lasts = 0;    /* Whether every call after the first one fails as well. */
static int armed = 0;

void fault_arm(long n, int kind, int sticky) {
  left = n;
  counted = 0;
  fault = kind;
  lasts = sticky;
  armed = 1;
}

long fault_disarm(void) {
  armed = 0;
  return counted;
}

static int is_due(void) {
  if (!armed) return 0;
  counted++;
  if (counted < left || (counted > left && !lasts)) return 0;
  if (fault == KILL) kill(getpid(), SIGKILL);
  return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* A call that cannot be short passes where a short write was asked for. */
#define FAIL_OR(name, ...)            \
  do {                                \
    REAL(name);                       \
    if (is_due() && fault != SHORT) { \
      errno = fault;                  \
      return (__typeof__(name(__VA_ARGS__)))-1; \
    }                                 \
    return real(__VA_ARGS__);         \
  } while (0)

#define MODE(flags)                              \
  mode_t mode = 0;                               \
  if (flags & (O_CREAT | __O_TMPFILE)) {         \
    va_list rest;                                \
    va_start(rest, flags);                       \
    mode = va_arg(rest, mode_t);                 \
    va_end(rest);                                \
  }

int open(const char *path, int flags, ...) { MODE(flags) FAIL_OR(open, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) FAIL_OR(open64, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) FAIL_OR(openat, at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) FAIL_OR(openat64, at, path, flags, mode); }
FILE *fopen(const char *path, const char *mode) {
  REAL(fopen);
  if (is_due() && fault != SHORT) { errno = fault; return NULL; }
  return real(path, mode);
}
FILE *fopen64(const char *path, const char *mode) {
  REAL(fopen64);
  if (is_due() && fault != SHORT) { errno = fault; return NULL; }
  return real(path, mode);
}
int fsync(int fd) { FAIL_OR(fsync, fd); }
int fdatasync(int fd) { FAIL_OR(fdatasync, fd); }
int rename(const char *a, const char *b) { FAIL_OR(rename, a, b); }
int renameat(int f, const char *a, int t, const char *b) { FAIL_OR(renameat, f, a, t, b); }
int unlink(const char *path) { FAIL_OR(unlink, path); }
int unlinkat(int at, const char *path, int flags) { FAIL_OR(unlinkat, at, path, flags); }
int mkdir(const char *path, mode_t mode) { FAIL_OR(mkdir, path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { FAIL_OR(mkdirat, at, path, mode); }
int rmdir(const char *path) { FAIL_OR(rmdir, path); }
int fchmod(int fd, mode_t mode) { FAIL_OR(fchmod, fd, mode); }
int flock(int fd, int how) { FAIL_OR(flock, fd, how); }
int ftruncate(int fd, off_t size) { FAIL_OR(ftruncate, fd, size); }
int ftruncate64(int fd, off64_t size) { FAIL_OR(ftruncate64, fd, size); }

void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset) {
  REAL(mmap);
  if (fd >= 0 && is_due() && fault != SHORT) { errno = fault; return MAP_FAILED; }
  return real(at, size, prot, flags, fd, offset);
}
void *mmap64(void *at, size_t size, int prot, int flags, int fd, off64_t offset) {
  REAL(mmap64);
  if (fd >= 0 && is_due() && fault != SHORT) { errno = fault; return MAP_FAILED; }
  return real(at, size, prot, flags, fd, offset);
}

#define PART(size) ((size) > 1 ? (size) / 2 : (size))

ssize_t write(int fd, const void *data, size_t size) {
  REAL(write);
  if (fd > 2 && is_due()) {
    if (fault == SHORT) return real(fd, data, PART(size));
    errno = fault;
    return -1;
  }
  return real(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
  REAL(pwrite);
  if (is_due()) {
    if (fault == SHORT) return real(fd, data, PART(size), offset);
    errno = fault;
    return -1;
  }
  return real(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
  REAL(pwrite64);
  if (is_due()) {
    if (fault == SHORT) return real(fd, data, PART(size), offset);
    errno = fault;
    return -1;
  }
  return real(fd, data, size, offset);
}
ssize_t writev(int fd, const struct iovec *parts, int n) {
  REAL(writev);
  if (is_due()) {
    if (fault == SHORT) return write(fd, parts[0].iov_base, PART(parts[0].iov_len));
    errno = fault;
    return -1;
  }
  return real(fd, parts, n);
}
