/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface of the bus1 character device, as spoken by bus1fs: the names, numbers and layouts of the 2016 header,
 * so that programs written against that one compile and run unchanged.
 *
 * Open the device, normally /dev/bus1, to get a peer; every command below is an ioctl on it. Structures hold 64-bit
 * fields wherever they hold pointers, which makes them the same for 32-bit and 64-bit programs.
 */
#ifndef BUS1FS_LINUX_BUS1_H
#define BUS1FS_LINUX_BUS1_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Most descriptors one message can carry. */
#define BUS1_FD_MAX 256

#define BUS1_IOCTL_MAGIC 0x96

/* No handle: what a carried handle reads as when its node was destroyed before the message was sent. */
#define BUS1_HANDLE_INVALID (~(__u64)0)

/* No slice: the offset of a notification. */
#define BUS1_OFFSET_INVALID (~(__u64)0)

/* Bits of a handle id: assigned by the bus, and: refers to a node of another peer. Own nodes have ids without both. */
#define BUS1_HANDLE_FLAG_MANAGED (1ULL << 0)
#define BUS1_HANDLE_FLAG_REMOTE (1ULL << 1)

/* bus1_cmd_peer_reset.peer_flags: report the senders' security contexts. */
#define BUS1_PEER_FLAG_WANT_SECCTX (1ULL << 0)

/* bus1_cmd_peer_reset.flags: give up nodes, handles, messages and slices, and: the seed. */
#define BUS1_PEER_RESET_FLAG_FLUSH (1ULL << 0)
#define BUS1_PEER_RESET_FLAG_FLUSH_SEED (1ULL << 1)

/* PEER_QUERY fills this in; PEER_RESET takes it, with all bits set in a field that shall stay as it is. */
struct bus1_cmd_peer_reset {
	__u64 flags;
	__u64 peer_flags;
	__u32 max_slices;
	__u32 max_handles;
	__u32 max_inflight_bytes;
	__u32 max_inflight_fds;
} __attribute__((__aligned__(8)));

/* Gives the peer behind dst_fd (-1: this peer) a reference to the node of src_handle, and says its id there. */
struct bus1_cmd_handle_transfer {
	__u64 flags;
	__u64 src_handle;
	__u64 dst_fd;
	__u64 dst_handle;
} __attribute__((__aligned__(8)));

/* bus1_cmd_nodes_destroy.flags: also release one reference of each node's handle. */
#define BUS1_NODES_DESTROY_FLAG_RELEASE_HANDLES (1ULL << 0)

struct bus1_cmd_nodes_destroy {
	__u64 flags;
	__u64 ptr_nodes; /* __u64[n_nodes] */
	__u64 n_nodes;
} __attribute__((__aligned__(8)));

/* bus1_cmd_send.flags: deliver to the destinations that can take it, and: replace the peer's own seed. */
#define BUS1_SEND_FLAG_CONTINUE (1ULL << 0)
#define BUS1_SEND_FLAG_SEED (1ULL << 1)

struct bus1_cmd_send {
	__u64 flags;
	__u64 ptr_destinations; /* __u64[n_destinations] */
	__u64 ptr_errors; /* int[n_destinations], written with BUS1_SEND_FLAG_CONTINUE */
	__u64 n_destinations;
	__u64 ptr_vecs; /* struct iovec[n_vecs] */
	__u64 n_vecs;
	__u64 ptr_handles; /* __u64[n_handles] */
	__u64 n_handles;
	__u64 ptr_fds; /* int[n_fds] */
	__u64 n_fds;
} __attribute__((__aligned__(8)));

/* bus1_cmd_recv.flags: leave the message queued, and: take the seed instead, and: install its descriptors. */
#define BUS1_RECV_FLAG_PEEK (1ULL << 0)
#define BUS1_RECV_FLAG_SEED (1ULL << 1)
#define BUS1_RECV_FLAG_INSTALL_FDS (1ULL << 2)

/* bus1_cmd_recv.msg.type */
enum {
	BUS1_MSG_NONE,
	BUS1_MSG_DATA,
	BUS1_MSG_NODE_DESTROY,
	BUS1_MSG_NODE_RELEASE,
};

/* bus1_cmd_recv.msg.flags: a security context follows, and: the next message is part of the same transaction. */
#define BUS1_MSG_FLAG_HAS_SECCTX (1ULL << 0)
#define BUS1_MSG_FLAG_CONTINUE (1ULL << 1)

/*
 * A received message lies in the pool, which mmap of the peer shows, at msg.offset: the payload; from the next multiple
 * of 8 on the handle ids; right after them the descriptor numbers; from the next multiple of 8 on the security context.
 */
struct bus1_cmd_recv {
	__u64 flags;
	__u64 max_offset;
	struct {
		__u64 type;
		__u64 flags;
		__u64 destination;
		__u32 uid;
		__u32 gid;
		__u32 pid;
		__u32 tid;
		__u64 offset;
		__u64 n_bytes;
		__u64 n_handles;
		__u64 n_fds;
		__u64 n_secctx;
	} __attribute__((__aligned__(8))) msg;
} __attribute__((__aligned__(8)));

/* Takes no argument in a kernel module. On bus1fs pass the address of a __u64 that is 0: FUSE refuses NULL. */
#define BUS1_CMD_PEER_DISCONNECT _IOWR(BUS1_IOCTL_MAGIC, 0x00, __u64)
#define BUS1_CMD_PEER_QUERY _IOWR(BUS1_IOCTL_MAGIC, 0x01, struct bus1_cmd_peer_reset)
#define BUS1_CMD_PEER_RESET _IOWR(BUS1_IOCTL_MAGIC, 0x02, struct bus1_cmd_peer_reset)
#define BUS1_CMD_HANDLE_RELEASE _IOWR(BUS1_IOCTL_MAGIC, 0x10, __u64)
#define BUS1_CMD_HANDLE_TRANSFER _IOWR(BUS1_IOCTL_MAGIC, 0x11, struct bus1_cmd_handle_transfer)
#define BUS1_CMD_NODES_DESTROY _IOWR(BUS1_IOCTL_MAGIC, 0x20, struct bus1_cmd_nodes_destroy)
#define BUS1_CMD_SLICE_RELEASE _IOWR(BUS1_IOCTL_MAGIC, 0x30, __u64)
#define BUS1_CMD_SEND _IOWR(BUS1_IOCTL_MAGIC, 0x40, struct bus1_cmd_send)
#define BUS1_CMD_RECV _IOWR(BUS1_IOCTL_MAGIC, 0x50, struct bus1_cmd_recv)

#endif /* BUS1FS_LINUX_BUS1_H */
