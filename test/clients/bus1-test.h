/*
 * What the test clients share: thin wrappers that return 0 or a negative errno, and cases that run one by one.
 *
 *   PROGRAM --list             prints the names of its cases
 *   PROGRAM DEVICE CASE        runs one; silent success, or a line that says what was wrong where
 */
#ifndef BUS1_TEST_H
#define BUS1_TEST_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/bus1.h>

#define POOL_SIZE (512UL << 20)
#define BAD_POINTER 0x1000UL
#define UNKNOWN_ID 0xdead0003ULL
#define ARRAY(...) (__u64[]){ __VA_ARGS__ }, sizeof((__u64[]){ __VA_ARGS__ }) / 8

static const char *device;

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			printf("%s:%d: %s (errno %s)\n", __FILE__, __LINE__, #condition, strerrorname_np(errno)); \
			exit(1); \
		} \
	} while (0)

/* Says both values, as errno names where they are negative. */
#define EXPECT(actual, expected) expect(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))

static inline const char *show(long long value, char *buffer)
{
	const char *name = value < 0 && value > -200 ? strerrorname_np(-value) : NULL;
	if (name) sprintf(buffer, "-%s", name);
	else sprintf(buffer, "%lld (0x%llx)", value, value);
	return buffer;
}

static inline void expect(const char *file, int line, const char *what, long long actual, long long expected)
{
	char a[64], b[64];
	if (actual == expected) return;
	printf("%s:%d: %s is %s, not %s\n", file, line, what, show(actual, a), show(expected, b));
	exit(1);
}

static inline int result(int value)
{
	return value < 0 ? -errno : value;
}

/* How peers are opened: every way is as good. */
#ifndef PEER_ACCESS
#define PEER_ACCESS O_RDWR
#endif

static inline int peer_open(void)
{
	int fd = open(device, PEER_ACCESS | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static inline int command(int peer, unsigned long number, const void *argument)
{
	return result(ioctl(peer, number, argument));
}

static inline int disconnect(int peer)
{
	__u64 zero = 0;
	return command(peer, BUS1_CMD_PEER_DISCONNECT, &zero);
}

static inline int query(int peer, struct bus1_cmd_peer_reset *query)
{
	*query = (struct bus1_cmd_peer_reset){ 0 };
	return command(peer, BUS1_CMD_PEER_QUERY, query);
}

/* Changes nothing unless told. */
#define RESET(...) \
	(&(struct bus1_cmd_peer_reset){ \
		.peer_flags = -1, \
		.max_slices = -1, \
		.max_handles = -1, \
		.max_inflight_bytes = -1, \
		.max_inflight_fds = -1, \
		##__VA_ARGS__, \
	})

static inline int reset(int peer, const struct bus1_cmd_peer_reset *reset)
{
	return command(peer, BUS1_CMD_PEER_RESET, reset);
}

static inline int flush(int peer)
{
	return reset(peer, RESET(.flags = BUS1_PEER_RESET_FLAG_FLUSH));
}

static inline int transfer(int peer, __u64 id, __u64 fd, __u64 *new_id)
{
	struct bus1_cmd_handle_transfer transfer = { .src_handle = id, .dst_fd = fd, .dst_handle = 0x5555 };
	int r = command(peer, BUS1_CMD_HANDLE_TRANSFER, &transfer);
	if (new_id) *new_id = r < 0 ? BUS1_HANDLE_INVALID : transfer.dst_handle;
	return r;
}

/* A handle of `holder` to node `id` of `owner`. */
static inline __u64 give(int owner, __u64 id, int holder)
{
	__u64 handle;
	EXPECT(transfer(owner, id, holder, &handle), 0);
	return handle;
}

static inline int release(int peer, __u64 id)
{
	return command(peer, BUS1_CMD_HANDLE_RELEASE, &id);
}

static inline int destroy(int peer, __u64 flags, const __u64 *ids, size_t n)
{
	struct bus1_cmd_nodes_destroy destroy = { .flags = flags, .ptr_nodes = (uintptr_t)ids, .n_nodes = n };
	return command(peer, BUS1_CMD_NODES_DESTROY, &destroy);
}

static inline int slice_release(int peer, __u64 offset)
{
	return command(peer, BUS1_CMD_SLICE_RELEASE, &offset);
}

struct message {
	__u64 flags;
	const __u64 *destinations;
	size_t n_destinations;
	const void *payload;
	size_t size;
	const __u64 *handles;
	size_t n_handles;
	int *errors;
};

static inline int send_message(int peer, const struct message *m)
{
	struct iovec vec = { (void *)m->payload, m->size };
	struct bus1_cmd_send send = {
		.flags = m->flags,
		.ptr_destinations = (uintptr_t)m->destinations,
		.n_destinations = m->n_destinations,
		.ptr_errors = (uintptr_t)m->errors,
		.ptr_vecs = (uintptr_t)&vec,
		.n_vecs = m->payload ? 1 : 0,
		.ptr_handles = (uintptr_t)m->handles,
		.n_handles = m->n_handles,
	};
	return command(peer, BUS1_CMD_SEND, &send);
}

/* SEND of a text to one destination. */
static inline int send_text(int peer, __u64 destination, const char *text)
{
	return send_message(peer, &(struct message){
					  .destinations = &destination,
					  .n_destinations = 1,
					  .payload = text,
					  .size = strlen(text),
				  });
}

/* SEND of handles to one destination. */
static inline int send_handles(int peer, __u64 destination, const __u64 *handles, size_t n)
{
	return send_message(peer, &(struct message){
					  .destinations = &destination,
					  .n_destinations = 1,
					  .handles = handles,
					  .n_handles = n,
				  });
}

static inline int recv_flags(int peer, struct bus1_cmd_recv *recv, __u64 flags)
{
	memset(recv, 0xa5, sizeof *recv);
	recv->flags = flags;
	recv->max_offset = -1;
	return command(peer, BUS1_CMD_RECV, recv);
}

static inline int recv_message(int peer, struct bus1_cmd_recv *recv)
{
	return recv_flags(peer, recv, 0);
}

static inline int nothing(int peer)
{
	struct bus1_cmd_recv recv;
	return recv_message(peer, &recv) == -EAGAIN;
}

static inline const uint8_t *pool(int peer)
{
	void *map = mmap(NULL, POOL_SIZE, PROT_READ, MAP_SHARED, peer, 0);
	CHECK(map != MAP_FAILED);
	return map;
}

/* The i-th handle of a received message. */
static inline __u64 handle_at(int peer, const struct bus1_cmd_recv *recv, size_t i)
{
	const uint8_t *map = pool(peer);
	__u64 id;
	CHECK(i < recv->msg.n_handles);
	memcpy(&id, map + recv->msg.offset + (recv->msg.n_bytes + 7) / 8 * 8 + i * 8, 8);
	munmap((void *)map, POOL_SIZE);
	return id;
}

/* Receives one DATA message at `destination` and checks its text. */
#define EXPECT_TEXT(peer, node, text) expect_text(__LINE__, peer, node, text)
static inline void expect_text(int line, int peer, __u64 destination, const char *text)
{
	struct bus1_cmd_recv recv;
	const uint8_t *map = pool(peer);
	expect(__FILE__, line, "RECV", recv_message(peer, &recv), 0);
	expect(__FILE__, line, "type", recv.msg.type, BUS1_MSG_DATA);
	expect(__FILE__, line, "destination", recv.msg.destination, destination);
	expect(__FILE__, line, "n_bytes", recv.msg.n_bytes, strlen(text));
	expect(__FILE__, line, "payload", memcmp(map + recv.msg.offset, text, strlen(text)), 0);
	expect(__FILE__, line, "SLICE_RELEASE", slice_release(peer, recv.msg.offset), 0);
	munmap((void *)map, POOL_SIZE);
}

/* Receives one notification and checks all its fields but CONTINUE. */
#define EXPECT_NOTE(peer, kind, node) expect_note(__LINE__, peer, BUS1_MSG_##kind, node)
static inline void expect_note(int line, int peer, __u64 type, __u64 destination)
{
	struct bus1_cmd_recv recv;
	expect(__FILE__, line, "RECV", recv_message(peer, &recv), 0);
	expect(__FILE__, line, "type", recv.msg.type, type);
	expect(__FILE__, line, "destination", recv.msg.destination, destination);
	expect(__FILE__, line, "uid", recv.msg.uid, UINT32_MAX);
	expect(__FILE__, line, "gid", recv.msg.gid, UINT32_MAX);
	expect(__FILE__, line, "pid", recv.msg.pid, 0);
	expect(__FILE__, line, "tid", recv.msg.tid, 0);
	expect(__FILE__, line, "offset", recv.msg.offset, BUS1_OFFSET_INVALID);
	expect(__FILE__, line, "counts", recv.msg.n_bytes | recv.msg.n_handles | recv.msg.n_fds | recv.msg.n_secctx, 0);
}

static inline short poll_now(int peer)
{
	struct pollfd p = { peer, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLPRI, 0 };
	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

/* How long to wait for what another process or the daemon is sure to do. */
#define AWAIT_MS 20000

static inline void await_message(int peer)
{
	struct pollfd p = { peer, POLLIN, 0 };
	EXPECT(poll(&p, 1, AWAIT_MS), 1);
	EXPECT(p.revents, POLLIN);
}

#define IDLE (POLLOUT | POLLWRNORM)
#define READABLE (IDLE | POLLIN | POLLRDNORM)

/* Runs the rest in a child whose failure is ours. */
static inline void join(pid_t child)
{
	int status;
	CHECK(waitpid(child, &status, 0) == child);
	if (status) exit(1);
}

struct test_case {
	const char *name;
	void (*run)(void);
};

#define CASE(function) ((struct test_case){ .name = #function, .run = function })
#define MAIN(...) \
	int main(int argc, char **argv) \
	{ \
		static const struct test_case cases[] = { __VA_ARGS__ }; \
		setvbuf(stdout, NULL, _IOLBF, 0); \
		for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) { \
			if (argc == 2) puts(cases[i].name); \
			else if (argc == 3 && !strcmp(argv[2], cases[i].name)) { \
				close_range(3, ~0U, 0); /* what was inherited would be in the way */ \
				device = argv[1]; \
				cases[i].run(); \
				return 0; \
			} \
		} \
		return argc == 2 ? 0 : 2; \
	}

#endif
