/*
 * A file system of one's own: any name is a file of 64 MiB of zeros, and its server, a child process, answers reads, flushes
 * and polls of it when it likes. Mounting it needs a user and mount namespace of one's own (unshare -Urm), or root.
 */
#ifndef OWN_FILES_H
#define OWN_FILES_H

#include "../clients/bus1-test.h"
#include <linux/fuse.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#define NEVER -1
#define FILE_SIZE (64UL << 20)

/* When requests are answered, in ms, and how many there were. Both processes have it. */
struct own {
	int read, flush, poll;
	size_t prompt; /* reads up to this offset are always answered at once */
	long reads, flushes, polls;
};
static volatile struct own *own;

static char own_directory[200];

struct held {
	__u64 unique;
	size_t size;
	long long due; /* ms; never if negative */
	struct held *next;
};

static long long own_clock(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static void own_reply(int fuse, __u64 unique, int error, const void *body, size_t size)
{
	struct fuse_out_header header = { sizeof header + (error ? 0 : size), -error, unique };
	struct iovec vecs[] = { { &header, sizeof header }, { (void *)body, error ? 0 : size } };
	if (writev(fuse, vecs, 2) < 0) return; /* whoever waited has gone */
}

static struct fuse_attr own_attributes(__u64 id)
{
	return (struct fuse_attr){ .ino = id, .mode = id == 1 ? S_IFDIR | 0755 : S_IFREG | 0777, .nlink = 1, .size = id == 1 ? 0 : FILE_SIZE };
}

/* Answers all requests that are due. Returns how long it is to the next, in ms. */
static int own_release(int fuse, struct held **list)
{
	static const char zeros[1 << 20];
	long long now = own_clock(), next = now + 1000;
	for (struct held **at = list; *at;) {
		struct held *held = *at;
		if (held->due >= 0 && held->due <= now) {
			own_reply(fuse, held->unique, 0, zeros, held->size);
			*at = held->next;
			free(held);
			continue;
		}
		if (held->due >= 0 && held->due < next) next = held->due;
		at = &held->next;
	}
	return next - now;
}

static void own_serve(int fuse)
{
	static char request[1 << 20];
	struct held *list = NULL;
	for (;;) {
		struct pollfd ready = { fuse, POLLIN, 0 };
		poll(&ready, 1, own_release(fuse, &list));
		if (!ready.revents) continue;
		ssize_t length = read(fuse, request, sizeof request);
		if (length < 0 && errno == ENODEV) return;
		if (length < 0) continue;
		const struct fuse_in_header *in = (void *)request;
		const void *body = in + 1;
		int delay = 0;
		size_t size = 0;
		switch (in->opcode) {
		case FUSE_INIT:
			own_reply(fuse, in->unique, 0,
				  &(struct fuse_init_out){ .major = 7, .minor = 31, .max_write = 4096, .max_background = 1000, .congestion_threshold = 1000 },
				  sizeof(struct fuse_init_out));
			continue;
		case FUSE_LOOKUP: {
			__u64 id = 2 + *(const unsigned char *)body;
			own_reply(fuse, in->unique, 0,
				  &(struct fuse_entry_out){ .nodeid = id, .attr_valid = 1000000, .entry_valid = 1000000, .attr = own_attributes(id) },
				  sizeof(struct fuse_entry_out));
			continue;
		}
		case FUSE_GETATTR:
			own_reply(fuse, in->unique, 0,
				  &(struct fuse_attr_out){ .attr_valid = 1000000, .attr = own_attributes(in->nodeid) },
				  sizeof(struct fuse_attr_out));
			continue;
		case FUSE_OPEN:
			own_reply(fuse, in->unique, 0, &(struct fuse_open_out){ .fh = 1 }, sizeof(struct fuse_open_out));
			continue;
		case FUSE_READ:
			delay = ((const struct fuse_read_in *)body)->offset < own->prompt ? 0 : own->read;
			size = ((const struct fuse_read_in *)body)->size;
			own->reads++;
			break;
		case FUSE_FLUSH:
			delay = own->flush;
			own->flushes++;
			break;
		case FUSE_POLL:
			delay = own->poll;
			size = sizeof(struct fuse_poll_out);
			own->polls++;
			break;
		case FUSE_WRITE:
			own_reply(fuse, in->unique, 0,
				  &(struct fuse_write_out){ .size = ((const struct fuse_write_in *)body)->size },
				  sizeof(struct fuse_write_out));
			continue;
		case FUSE_RELEASE:
			break;
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
		case FUSE_INTERRUPT:
			continue;
		default:
			own_reply(fuse, in->unique, ENOSYS, NULL, 0);
			continue;
		}
		if (delay == 0) {
			static const char zeros[1 << 20];
			own_reply(fuse, in->unique, 0, zeros, size);
			continue;
		}
		struct held *held = malloc(sizeof *held);
		*held = (struct held){ in->unique, size, delay < 0 ? -1 : own_clock() + delay, list };
		list = held;
	}
}

/* /dev/fuse, which is for everybody, or where it is not, the one that the environment names. */
static int own_device(void)
{
	const char *path = getenv("FUSE");
	int fuse = open(path ? path : "/dev/fuse", O_RDWR | O_CLOEXEC);
	CHECK(fuse >= 0);
	return fuse;
}

/* Mounts it on `directory`, open to others where `options` say so (",allow_other"), and starts its server. */
static pid_t own_mount(const char *directory, uid_t user, const char *options)
{
	char text[200];
	int fuse = own_device();
	own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(own != MAP_FAILED);
	snprintf(own_directory, sizeof own_directory, "%s", directory);
	snprintf(text, sizeof text, "fd=%d,rootmode=40000,user_id=%d,group_id=%d%s", fuse, user, user, options);
	CHECK(mount("own", directory, "fuse.own", MS_NOSUID | MS_NODEV, text) == 0);
	pid_t server = fork();
	if (server == 0) {
		CHECK(setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		own_serve(fuse);
		_exit(0);
	}
	close(fuse);
	return server;
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* In a user and a mount namespace of its own, as anybody may: only this process and its children see it. */
static pid_t own_files(void)
{
	char uid[32], gid[32];
	sprintf(uid, "0 %d 1", getuid());
	sprintf(gid, "0 %d 1", getgid());
	CHECK(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
	write_text("/proc/self/setgroups", "deny");
	write_text("/proc/self/uid_map", uid);
	write_text("/proc/self/gid_map", gid);
	CHECK(mount("none", "/mnt", "tmpfs", 0, "") == 0);
	return own_mount("/mnt", 0, "");
}

/* As fusermount3 mounts it for a user; by root, in a mount namespace of its own, so that nothing is left of it. */
static pid_t files_of(uid_t user, const char *options)
{
	CHECK(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("none", "/mnt", "tmpfs", 0, "") == 0);
	return own_mount("/mnt", user, options);
}

static int own_open(const char *name, int flags)
{
	char path[300];
	snprintf(path, sizeof path, "%s/%s", own_directory, name);
	int fd = open(path, flags | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

/* Memory that is behind a file of one's own: nothing of it is there yet. */
static char *own_memory(const char *name, size_t size)
{
	int fd = own_open(name, O_RDWR);
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	close(fd);
	return map;
}

#endif
