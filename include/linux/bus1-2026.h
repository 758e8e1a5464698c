/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface of bus1 as it was proposed in 2026, as spoken by bus1fs on the same device as that of 2016: the names,
 * numbers and layouts of that proposal, in a form that every compiler takes. Its authors call it undecided.
 *
 * Open the device, normally /dev/bus1, to get a peer; every command below is an ioctl on it. All fields are 64 bits wide,
 * which makes the structures the same for 32-bit and 64-bit programs. No command writes to its own structure.
 *
 * This header and linux/bus1.h give the same names to different things (BUS1_IOCTL_MAGIC, BUS1_CMD_SEND, BUS1_CMD_RECV,
 * struct bus1_cmd_send, struct bus1_cmd_recv), so one source file can include only one of them.
 */
#ifndef BUS1FS_LINUX_BUS1_2026_H
#define BUS1FS_LINUX_BUS1_2026_H

#ifdef BUS1FS_LINUX_BUS1_H
#error "linux/bus1.h and linux/bus1-2026.h cannot be used in one source file"
#endif

#include <linux/ioctl.h>
#include <linux/types.h>

#define BUS1_IOCTL_MAGIC 0x97

/* No id: what a node or handle that is to be made has before, and a message that is to be received as its type. */
#define BUS1_INVALID (~(__u64)0)

/* The bit of an id that says that the bus chose it. All ids have it. */
#define BUS1_MANAGED ((__u64)1)

/* Pointers to fields and back. */
#define BUS1_FROM_PTR(pointer) ((__u64)(unsigned long)(pointer))
#define BUS1_TO_PTR(field) ((void *)(unsigned long)(field))

/* bus1_transfer.flags: make a node, and a handle to it. */
#define BUS1_TRANSFER_FLAG_CREATE ((__u64)1 << 0)

struct bus1_transfer {
	__u64 flags;
	__u64 id;
} __attribute__((__aligned__(8)));

struct bus1_metadata {
	__u64 flags;
	__u64 id;
	__u64 account;
} __attribute__((__aligned__(8)));

/* bus1_message.type */
enum bus1_message_type {
	BUS1_MESSAGE_TYPE_USER = 0,
	BUS1_MESSAGE_TYPE_NODE_RELEASE = 1,
	BUS1_MESSAGE_TYPE_HANDLE_RELEASE = 2,
	_BUS1_MESSAGE_TYPE_N
};

struct bus1_message {
	__u64 flags;
	__u64 type;
	__u64 n_transfers;
	__u64 ptr_transfers; /* struct bus1_transfer[n_transfers] */
	__u64 n_data;
	__u64 n_data_vecs;
	__u64 ptr_data_vecs; /* struct iovec[n_data_vecs] */
} __attribute__((__aligned__(8)));

/* Gives handles to the peer behind a descriptor (BUS1_INVALID: this peer), and makes nodes for them. */
struct bus1_cmd_transfer {
	__u64 flags;
	__u64 to;
	__u64 n_transfers;
	__u64 ptr_src; /* struct bus1_transfer[n_transfers] */
	__u64 ptr_dst; /* struct bus1_transfer[n_transfers] */
} __attribute__((__aligned__(8)));

/* Ends nodes and handles of this peer. */
struct bus1_cmd_release {
	__u64 flags;
	__u64 n_ids;
	__u64 ptr_ids; /* __u64[n_ids] */
} __attribute__((__aligned__(8)));

/* Sends one message to the nodes behind handles. */
struct bus1_cmd_send {
	__u64 flags;
	__u64 n_destinations;
	__u64 ptr_destinations; /* __u64[n_destinations] */
	__u64 ptr_errors; /* __s32[n_destinations], or 0 */
	__u64 ptr_message; /* struct bus1_message */
} __attribute__((__aligned__(8)));

/* Takes the next message of this peer. */
struct bus1_cmd_recv {
	__u64 flags;
	__u64 ptr_metadata; /* struct bus1_metadata */
	__u64 ptr_message; /* struct bus1_message */
} __attribute__((__aligned__(8)));

#define BUS1_CMD_TRANSFER _IOWR(BUS1_IOCTL_MAGIC, 0x00, struct bus1_cmd_transfer)
#define BUS1_CMD_RELEASE _IOWR(BUS1_IOCTL_MAGIC, 0x01, struct bus1_cmd_release)
#define BUS1_CMD_SEND _IOWR(BUS1_IOCTL_MAGIC, 0x02, struct bus1_cmd_send)
#define BUS1_CMD_RECV _IOWR(BUS1_IOCTL_MAGIC, 0x03, struct bus1_cmd_recv)

#endif /* BUS1FS_LINUX_BUS1_2026_H */
