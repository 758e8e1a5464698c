/* What the test clients of the ABI of 2026 share. They know that of 2016 too, with two of its structures renamed. */
#ifndef BUS1_2026_TEST_H
#define BUS1_2026_TEST_H

#define bus1_cmd_send bus1_2016_cmd_send
#define bus1_cmd_recv bus1_2016_cmd_recv
#include "bus1-test.h"
#undef bus1_cmd_send
#undef bus1_cmd_recv
#undef BUS1_IOCTL_MAGIC
#undef BUS1_CMD_SEND
#undef BUS1_CMD_RECV
#undef BUS1FS_LINUX_BUS1_H
#include <linux/bus1-2026.h>

#define SELF BUS1_INVALID
#define CREATE ((struct bus1_transfer){ .flags = BUS1_TRANSFER_FLAG_CREATE, .id = BUS1_INVALID })
#define COPY(handle) ((struct bus1_transfer){ .flags = 0, .id = (handle) })
#define MAX_HANDLES 8
#define MAX_TEXT 64

static inline int transfer_to(int peer, __u64 to, size_t n, struct bus1_transfer *src, struct bus1_transfer *dst)
{
	struct bus1_cmd_transfer c = {
		.to = to,
		.n_transfers = n,
		.ptr_src = BUS1_FROM_PTR(src),
		.ptr_dst = BUS1_FROM_PTR(dst),
	};
	return command(peer, BUS1_CMD_TRANSFER, &c);
}

struct pair {
	__u64 node, handle;
};

/* A new node of `peer`, and a handle to it of the peer behind `to`. */
static inline struct pair create(int peer, __u64 to)
{
	struct bus1_transfer src = CREATE, dst = { 0x5555, 0x5555 };
	EXPECT(transfer_to(peer, to, 1, &src, &dst), 0);
	EXPECT(src.flags | dst.flags, 0);
	return (struct pair){ src.id, dst.id };
}

/* Gives the peer behind `to` a handle to the node that a handle of `peer` refers to. */
static inline __u64 copy(int peer, __u64 handle, __u64 to)
{
	struct bus1_transfer src = COPY(handle), dst = { 0x5555, 0x5555 };
	EXPECT(transfer_to(peer, to, 1, &src, &dst), 0);
	EXPECT(dst.flags, 0);
	return dst.id;
}

static inline int drop_ids(int peer, const __u64 *ids, size_t n)
{
	struct bus1_cmd_release c = { .n_ids = n, .ptr_ids = BUS1_FROM_PTR(ids) };
	return command(peer, BUS1_CMD_RELEASE, &c);
}
#define drop(peer, ...) drop_ids(peer, ARRAY(__VA_ARGS__))

/* What a SEND takes; destinations and handles are lists of ids, as ARRAY makes them. */
static inline int post_message(int peer, struct bus1_message *message, const __u64 *destinations, size_t n, void *errors)
{
	struct bus1_cmd_send c = {
		.n_destinations = n,
		.ptr_destinations = BUS1_FROM_PTR(destinations),
		.ptr_errors = BUS1_FROM_PTR(errors),
		.ptr_message = BUS1_FROM_PTR(message),
	};
	return command(peer, BUS1_CMD_SEND, &c);
}

static inline int post_all(int peer, const char *text, const __u64 *handles, size_t n_handles, const __u64 *destinations, size_t n)
{
	struct bus1_transfer transfers[MAX_HANDLES];
	struct iovec vec = { (void *)text, strlen(text) };
	struct bus1_message message = {
		.type = BUS1_MESSAGE_TYPE_USER,
		.n_transfers = n_handles,
		.ptr_transfers = BUS1_FROM_PTR(transfers),
		.n_data = vec.iov_len,
		.n_data_vecs = 1,
		.ptr_data_vecs = BUS1_FROM_PTR(&vec),
	};
	int32_t errors[MAX_HANDLES];
	memset(errors, 0xff, sizeof errors);
	for (size_t i = 0; i < n_handles; i++) transfers[i] = (struct bus1_transfer)COPY(handles[i]);
	int r = post_message(peer, &message, destinations, n, errors);
	for (size_t i = 0; i < MAX_HANDLES && !r; i++) EXPECT(errors[i], i < n ? 0 : -1);
	return r;
}

/* SEND of a text, to one destination and to several, and with handles. */
#define post(peer, destination, text) post_all(peer, text, NULL, 0, ARRAY(destination))
#define post_to(peer, text, ...) post_all(peer, text, NULL, 0, ARRAY(__VA_ARGS__))
#define post_with(peer, destination, text, ...) post_all(peer, text, ARRAY(__VA_ARGS__), ARRAY(destination))

struct received {
	struct bus1_metadata metadata;
	struct bus1_message message;
	struct bus1_transfer transfers[MAX_HANDLES];
	char text[MAX_TEXT];
};

static inline int take_message(int peer, struct bus1_metadata *metadata, struct bus1_message *message)
{
	struct bus1_cmd_recv c = { .ptr_metadata = BUS1_FROM_PTR(metadata), .ptr_message = BUS1_FROM_PTR(message) };
	return command(peer, BUS1_CMD_RECV, &c);
}

static inline int take(int peer, struct received *r)
{
	struct iovec vec = { r->text, MAX_TEXT };
	memset(r, 0xa5, sizeof *r);
	r->message = (struct bus1_message){
		.type = BUS1_INVALID,
		.n_transfers = MAX_HANDLES,
		.ptr_transfers = BUS1_FROM_PTR(r->transfers),
		.n_data = MAX_TEXT,
		.n_data_vecs = 1,
		.ptr_data_vecs = BUS1_FROM_PTR(&vec),
	};
	return take_message(peer, &r->metadata, &r->message);
}

/* Receives what is a message to `node` with this text and so many handles, and returns the first of these. */
#define EXPECT_POST(peer, node, text, n) expect_post(__LINE__, peer, node, text, n)
static inline __u64 expect_post(int line, int peer, __u64 node, const char *text, size_t n)
{
	struct received r;
	expect(__FILE__, line, "RECV", take(peer, &r), 0);
	expect(__FILE__, line, "type", r.message.type, BUS1_MESSAGE_TYPE_USER);
	expect(__FILE__, line, "id", r.metadata.id, node);
	expect(__FILE__, line, "account", r.metadata.account, geteuid());
	expect(__FILE__, line, "n_data", r.message.n_data, strlen(text));
	expect(__FILE__, line, "data", memcmp(r.text, text, strlen(text)), 0);
	expect(__FILE__, line, "n_transfers", r.message.n_transfers, n);
	expect(__FILE__, line, "flags", r.metadata.flags | r.message.flags | (n ? r.transfers[0].flags : 0), 0);
	return n ? r.transfers[0].id : BUS1_INVALID;
}

#define EXPECT_NODE_RELEASE(peer, id) expect_release(__LINE__, peer, BUS1_MESSAGE_TYPE_NODE_RELEASE, id)
#define EXPECT_HANDLE_RELEASE(peer, id) expect_release(__LINE__, peer, BUS1_MESSAGE_TYPE_HANDLE_RELEASE, id)
static inline void expect_release(int line, int peer, int type, __u64 id)
{
	struct received r;
	expect(__FILE__, line, "RECV", take(peer, &r), 0);
	expect(__FILE__, line, "type", r.message.type, type);
	expect(__FILE__, line, "id", r.metadata.id, id);
	expect(__FILE__, line, "account", r.metadata.account, BUS1_INVALID);
	expect(__FILE__, line, "flags", r.metadata.flags | r.message.flags, 0);
	expect(__FILE__, line, "counts", r.message.n_transfers | r.message.n_data, 0);
}

/* poll and RECV agree that there is nothing. */
#define EXPECT_EMPTY(peer) \
	do { \
		struct received received_; \
		EXPECT(poll_now(peer), IDLE); \
		EXPECT(take(peer, &received_), -EAGAIN); \
	} while (0)

#endif
