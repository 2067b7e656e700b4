/*
 * A disk that fails as it is told: put before the C library (LD_PRELOAD), it stands between the server and its files.
 *
 * VIGIE_DISK_ROOTS    folders, ":" between them: only files below them are touched
 * VIGIE_DISK_CONTROL  a file of 4096 bytes, shared with the test: struct control
 * VIGIE_DISK_SAFE     a folder: what a power cut would leave is kept there (without it: nothing is kept)
 *
 * What a power cut leaves: of a file, what was written before its last successful fsync or fdatasync, and by chance some
 * pages written since; of a folder, the names that it had at its last fsync. Each file and folder has a number, which is
 * its inode's for those that were there at the start; SAFE/files/N holds bytes, SAFE/folders/N names ("f N name\n").
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct control {
    volatile uint32_t write_errno; /* writes fail with it */
    volatile uint32_t name_errno;  /* making, renaming, removing, cutting, and opening to write fail with it */
    volatile uint32_t sync_errno;  /* syncs fail with it, and what was dirty is taken for written */
    volatile uint32_t stalls;      /* 1: writes, 2: syncs; they wait until it is over */
    volatile uint32_t short_each;  /* every so-many-th write takes only half of what it is given */
    volatile uint32_t early;       /* of 256 pages written, so many reach the disk before they are synced */
    volatile uint32_t faults;      /* told: so many faults there were */
    volatile uint32_t syncs;       /* told: so many syncs succeeded */
    volatile char scope[2048];     /* faults only in files below it, or, ending in "/.", in that one; "": all */
    volatile uint32_t sync_spared; /* so many syncs pass before sync_errno strikes */
    volatile uint32_t sync_strikes; /* then so many fail; 0: all */
    volatile uint32_t sync_count;  /* told: so many syncs it was asked about */
    volatile uint32_t shorts;      /* told: so many writes took only half */
};

#define REAL(name, result, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    if (!real_##name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name)

static struct control *control;
static const char *roots, *safe;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int plain_open(const char *path, int flags, mode_t mode) {
    REAL(open64, int, const char *, int, ...);
    return real_open64(path, flags, mode);
}

static ssize_t plain_pwrite(int file, const void *bytes, size_t length, off_t at) {
    REAL(pwrite64, ssize_t, int, const void *, size_t, off_t);
    return real_pwrite64(file, bytes, length, at);
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("VIGIE_DISK_CONTROL");
    roots = getenv("VIGIE_DISK_ROOTS");
    safe = getenv("VIGIE_DISK_SAFE");
    if (!path || !roots) return;
    int file = plain_open(path, O_RDWR | O_CLOEXEC, 0);
    if (file < 0) abort();
    void *there = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (there == MAP_FAILED) abort();
    control = there;
}

static int is_below(const char *path, const char *folder, size_t length) {
    return length && strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int is_ours(const char *path) {
    if (!control || !path) return 0;
    for (const char *root = roots; *root;) {
        size_t length = strcspn(root, ":");
        if (is_below(path, root, length)) return 1;
        root += length + (root[length] == ':');
    }
    return 0;
}

static int is_in_scope(const char *path) {
    char scope[2048];
    memcpy(scope, (const void *)control->scope, sizeof scope - 1);
    scope[sizeof scope - 1] = 0;
    size_t length = strlen(scope);
    if (length > 2 && !strcmp(scope + length - 2, "/.")) return !strncmp(path, scope, length - 2) && !path[length - 2];
    return !length || is_below(path, scope, length);
}

/* The path of an open file, when it is one of ours. */
static int path_of(int file, char *path) {
    char link[64];
    if (!control) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, 4095);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_ours(path);
}

static int fails(uint32_t with) {
    if (!with) return 0;
    __sync_fetch_and_add(&control->faults, 1);
    errno = with;
    return 1;
}

/* Whether it is this sync's turn to fail. */
static int strikes(void) {
    uint32_t before = __sync_fetch_and_add(&control->sync_count, 1), spared = control->sync_spared;
    return before >= spared && (!control->sync_strikes || before - spared < control->sync_strikes);
}

static void stall(uint32_t which) {
    if (control->stalls & which) __sync_fetch_and_add(&control->faults, 1);
    while (control->stalls & which) usleep(5000);
}

/* ---- what would be left ---- */

struct span { off_t from, to; };
struct known {
    ino_t inode;
    uint64_t number;
    off_t shortest; /* since the last sync */
    struct span *dirty;
    size_t spans, room;
    struct known *next;
};
static struct known *table[4096];
static uint64_t next_number = (uint64_t)1 << 62;

static struct known *known_of(ino_t inode, int is_new) {
    struct known **slot = &table[inode % 4096];
    struct known *one = *slot;
    while (one && one->inode != inode) one = one->next;
    if (!one) {
        one = calloc(1, sizeof *one);
        if (!one) abort();
        one->inode = inode;
        one->number = inode;
        one->shortest = INT64_MAX;
        one->next = *slot;
        *slot = one;
    }
    if (is_new) {
        one->number = next_number++;
        one->spans = 0;
        one->shortest = INT64_MAX;
    }
    return one;
}

static int open_safe(uint64_t number) {
    char path[4200];
    snprintf(path, sizeof path, "%s/files/%llu", safe, (unsigned long long)number);
    return plain_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* Copies a span of the file as it is now. */
static void save(int from, int to, struct span span) {
    char bytes[65536];
    while (span.from < span.to) {
        size_t wanted = span.to - span.from < (off_t)sizeof bytes ? (size_t)(span.to - span.from) : sizeof bytes;
        ssize_t got = pread(from, bytes, wanted, span.from);
        if (got <= 0 || plain_pwrite(to, bytes, got, span.from) != got) return;
        span.from += got;
    }
}

/* Opened anew by its path, since a file that is only written cannot be read. */
static int readable(int file) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    return plain_open(link, O_RDONLY | O_CLOEXEC, 0);
}

static void note_write(int file, off_t at, size_t length) {
    struct stat now;
    if (!safe || fstat(file, &now) || !S_ISREG(now.st_mode)) return;
    pthread_mutex_lock(&lock);
    struct known *one = known_of(now.st_ino, 0);
    struct span span = {at, at + (off_t)length};
    struct span *last = one->spans ? &one->dirty[one->spans - 1] : NULL;
    if (last && last->to == span.from) {
        last->to = span.to;
    } else {
        if (one->spans == one->room) {
            one->room = one->room ? one->room * 2 : 8;
            one->dirty = realloc(one->dirty, one->room * sizeof *one->dirty);
            if (!one->dirty) abort();
        }
        one->dirty[one->spans++] = span;
    }
    /* The system may write any page at any time, whatever was written before it. */
    static unsigned seed = 12345;
    int from = -1, to = -1;
    for (off_t page = span.from & ~(off_t)4095; control->early && page < span.to; page += 4096) {
        if ((uint32_t)(rand_r(&seed) & 255) >= control->early) continue;
        if (from < 0 && ((from = readable(file)) < 0 || (to = open_safe(one->number)) < 0)) break;
        save(from, to, (struct span){page, page + 4096});
    }
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    pthread_mutex_unlock(&lock);
}

static void note_cut(int file, off_t length) {
    struct stat now;
    if (!safe || fstat(file, &now) || !S_ISREG(now.st_mode)) return;
    pthread_mutex_lock(&lock);
    struct known *one = known_of(now.st_ino, 0);
    if (length < one->shortest) one->shortest = length;
    pthread_mutex_unlock(&lock);
}

static void note_new(const char *path) {
    struct stat now;
    if (!safe || stat(path, &now)) return;
    pthread_mutex_lock(&lock);
    known_of(now.st_ino, 1);
    pthread_mutex_unlock(&lock);
}

static void keep_file(int file, struct known *one, const struct stat *now, int is_lost) {
    if (!is_lost) {
        int from = readable(file), to = open_safe(one->number);
        struct stat kept;
        if (from < 0 || to < 0 || fstat(to, &kept)) abort();
        off_t length = one->shortest < kept.st_size ? one->shortest : kept.st_size;
        if (ftruncate(to, length)) abort();
        for (size_t n = 0; n < one->spans; n++) save(from, to, one->dirty[n]);
        if (ftruncate(to, now->st_size)) abort();
        close(from);
        close(to);
    }
    one->spans = 0;
    one->shortest = INT64_MAX;
}

static void keep_folder(const char *path, struct known *one) {
    char to[4200], part[4300];
    snprintf(to, sizeof to, "%s/folders/%llu", safe, (unsigned long long)one->number);
    snprintf(part, sizeof part, "%s.part", to);
    DIR *folder = opendir(path);
    FILE *list = fopen(part, "we");
    if (!folder || !list) abort();
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        uint64_t number = known_of(entry->d_ino, 0)->number;
        fprintf(list, "%c %llu %s\n", entry->d_type == DT_DIR ? 'd' : 'f', (unsigned long long)number, entry->d_name);
    }
    closedir(folder);
    fclose(list);
    REAL(rename, int, const char *, const char *);
    if (real_rename(part, to)) abort();
}

/* ---- the calls ---- */

static int open_any(int (*really)(int, const char *, int, mode_t), int at, const char *path, int flags, mode_t mode) {
    char full[4096];
    const char *name = path;
    if (control && path[0] != '/' && at >= 0) {
        char above[4096];
        if (!path_of(at, above)) return really(at, path, flags, mode);
        snprintf(full, sizeof full, "%.2000s/%.2000s", above, path);
        name = full;
    }
    if (!is_ours(name)) return really(at, path, flags, mode);
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    if (writes && is_in_scope(name) && control->name_errno && fails(control->name_errno)) return -1;
    struct stat before;
    int was_there = stat(name, &before) == 0;
    int file = really(at, path, flags, mode);
    if (file >= 0 && !was_there && (flags & O_CREAT)) note_new(name);
    if (file >= 0 && was_there && (flags & O_TRUNC)) note_cut(file, 0);
    return file;
}

static int really_open(int at, const char *path, int flags, mode_t mode) {
    (void)at;
    return plain_open(path, flags, mode);
}

static int really_openat(int at, const char *path, int flags, mode_t mode) {
    REAL(openat64, int, int, const char *, int, ...);
    return real_openat64(at, path, flags, mode);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_any(really_open, -1, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_any(really_open, -1, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return open_any(really_openat, at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return open_any(really_openat, at, path, flags, mode); }

/* Whether a write may go on, and with how much of it. */
static int may_write(int file, size_t *length) {
    char path[4096];
    if (!path_of(file, path)) return 2;
    if (is_in_scope(path)) {
        stall(1);
        if (control->write_errno && fails(control->write_errno)) return 0;
        static uint32_t writes;
        uint32_t each = control->short_each;
        if (each && *length > 1 && __sync_fetch_and_add(&writes, 1) % each == 0) {
            *length /= 2;
            __sync_fetch_and_add(&control->shorts, 1);
        }
    }
    return 1;
}

static ssize_t pwrite_any(int file, const void *bytes, size_t length, off_t at) {
    int may = may_write(file, &length);
    if (!may) return -1;
    ssize_t written = plain_pwrite(file, bytes, length, at);
    int error = errno;
    if (may == 1 && written > 0) note_write(file, at, written);
    errno = error;
    return written;
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) { return pwrite_any(file, bytes, length, at); }
ssize_t pwrite64(int file, const void *bytes, size_t length, off_t at) { return pwrite_any(file, bytes, length, at); }

ssize_t write(int file, const void *bytes, size_t length) {
    REAL(write, ssize_t, int, const void *, size_t);
    int may = control ? may_write(file, &length) : 2;
    if (!may) return -1;
    ssize_t written = real_write(file, bytes, length);
    int error = errno;
    if (may == 1 && written > 0) note_write(file, lseek(file, 0, SEEK_CUR) - written, written);
    errno = error;
    return written;
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev, ssize_t, int, const struct iovec *, int);
    size_t length = 1;
    int may = control ? may_write(file, &length) : 2;
    if (!may) return -1;
    ssize_t written = real_writev(file, parts, count);
    int error = errno;
    if (may == 1 && written > 0) note_write(file, lseek(file, 0, SEEK_CUR) - written, written);
    errno = error;
    return written;
}

static int sync_any(int file, int (*really)(int)) {
    char path[4096];
    if (!path_of(file, path)) return really(file);
    int is_lost = 0;
    if (is_in_scope(path)) {
        stall(2);
        is_lost = control->sync_errno && strikes() && fails(control->sync_errno);
    }
    if (safe) {
        struct stat now;
        pthread_mutex_lock(&lock);
        /* Its size while nobody else keeps it. */
        if (fstat(file, &now)) abort();
        struct known *one = known_of(now.st_ino, 0);
        if (S_ISREG(now.st_mode)) keep_file(file, one, &now, is_lost);
        if (S_ISDIR(now.st_mode) && !is_lost) keep_folder(path, one);
        pthread_mutex_unlock(&lock);
    }
    if (is_lost) {
        errno = control->sync_errno ? (int)control->sync_errno : EIO;
        return -1;
    }
    __sync_fetch_and_add(&control->syncs, 1);
    /* Where everything is kept beside, nothing has to wait for the machine's own disk. */
    return safe ? 0 : really(file);
}

static int really_fsync(int file) { REAL(fsync, int, int); return real_fsync(file); }
static int really_fdatasync(int file) { REAL(fdatasync, int, int); return real_fdatasync(file); }
int fsync(int file) { return control ? sync_any(file, really_fsync) : really_fsync(file); }
int fdatasync(int file) { return control ? sync_any(file, really_fdatasync) : really_fdatasync(file); }

static int refuses_name(const char *path) {
    return is_ours(path) && is_in_scope(path) && control->name_errno && fails(control->name_errno);
}

static int cut_any(int file, off_t length) {
    REAL(ftruncate64, int, int, off_t);
    char path[4096];
    int ours = path_of(file, path);
    if (ours && refuses_name(path)) return -1;
    int result = real_ftruncate64(file, length);
    if (ours && !result) note_cut(file, length);
    return result;
}

int ftruncate(int file, off_t length) { return cut_any(file, length); }
int ftruncate64(int file, off_t length) { return cut_any(file, length); }

int rename(const char *from, const char *to) {
    REAL(rename, int, const char *, const char *);
    return refuses_name(to) ? -1 : real_rename(from, to);
}

int unlink(const char *path) {
    REAL(unlink, int, const char *);
    return refuses_name(path) ? -1 : real_unlink(path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir, int, const char *, mode_t);
    if (refuses_name(path)) return -1;
    int result = real_mkdir(path, mode);
    if (!result && is_ours(path)) note_new(path);
    return result;
}
