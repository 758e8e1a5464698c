/*
 * What can be said to the device, as data: every command of every ABI, the fields of its structures, and what belongs in them.
 * One more command is one more row.
 */
#ifndef GRAMMAR_H
#define GRAMMAR_H

#include "../attack/own-files.h"

/* What a row does not say is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

enum kind {
	FLAGS, /* any of the bits in `detail` */
	HANDLE, /* the id of a node or handle */
	SLICE, /* the offset of a slice */
	LIMIT,
	PEER, /* a descriptor of a peer, or all ones for the same */
	FILES, /* a descriptor of anything */
	NUMBER, /* just this: `detail` */
	POINTER, /* to an array of at most `detail` of what `target` is */
	COUNT, /* of the entries of the pointer at offset `detail` */
	ADDRESS, /* of payload, with its length right after it */
	GIVES_HANDLE, /* the answer is the id of a handle */
	GIVES_SLICE,
	ANYTHING, /* an answer, or nothing */
};

struct field {
	unsigned short offset;
	unsigned char size;
	enum kind kind;
	__u64 detail;
	const struct shape *target;
};

#define MOST_FIELDS 16

struct shape {
	unsigned size;
	struct field fields[MOST_FIELDS]; /* up to one without a size */
};

struct row {
	const char *name;
	unsigned long number;
	const struct shape *argument;
	int weight;
};

#define F8(type, name, ...) \
	{ \
		offsetof(struct type, name), 8, __VA_ARGS__ \
	}
#define F4(type, name, ...) \
	{ \
		offsetof(struct type, name), 4, __VA_ARGS__ \
	}

/* ---- what arrays consist of */

static const struct shape HANDLE_ENTRY = { 8, { { 0, 8, HANDLE } } };
static const struct shape FILE_ENTRY = { 4, { { 0, 4, FILES } } };
static const struct shape INT_ENTRY = { 4, { { 0, 4, ANYTHING } } };
static const struct shape VECTOR = { sizeof(struct iovec), { { 0, 8, ADDRESS } } };

/* ---- the header of 2016, and the one of 2019, in which RECV is another one */

static const struct shape NOTHING = { 8, { { 0, 8, NUMBER, 0 } } };
static const struct shape ONE_HANDLE = { 8, { { 0, 8, HANDLE } } };
static const struct shape ONE_SLICE = { 8, { { 0, 8, SLICE } } };
static const struct shape QUERY = { sizeof(struct bus1_cmd_peer_reset), { F8(bus1_cmd_peer_reset, flags, FLAGS, 0) } };
static const struct shape RESET_ = { sizeof(struct bus1_cmd_peer_reset),
				     {
					     F8(bus1_cmd_peer_reset, flags, FLAGS, 3),
					     F8(bus1_cmd_peer_reset, peer_flags, FLAGS, 1),
					     F4(bus1_cmd_peer_reset, max_slices, LIMIT, 60),
					     F4(bus1_cmd_peer_reset, max_handles, LIMIT, 120),
					     F4(bus1_cmd_peer_reset, max_inflight_bytes, LIMIT, 1 << 20),
					     F4(bus1_cmd_peer_reset, max_inflight_fds, LIMIT, 40),
				     } };
static const struct shape HANDLE_TRANSFER = { sizeof(struct bus1_cmd_handle_transfer),
					      {
						      F8(bus1_cmd_handle_transfer, flags, FLAGS, 0),
						      F8(bus1_cmd_handle_transfer, src_handle, HANDLE),
						      F8(bus1_cmd_handle_transfer, dst_fd, PEER),
						      F8(bus1_cmd_handle_transfer, dst_handle, GIVES_HANDLE),
					      } };
static const struct shape NODES_DESTROY = { sizeof(struct bus1_cmd_nodes_destroy),
					    {
						    F8(bus1_cmd_nodes_destroy, flags, FLAGS, 1),
						    F8(bus1_cmd_nodes_destroy, ptr_nodes, POINTER, 16, &HANDLE_ENTRY),
						    F8(bus1_cmd_nodes_destroy, n_nodes, COUNT,
						       offsetof(struct bus1_cmd_nodes_destroy, ptr_nodes)),
					    } };
static const struct shape SEND = { sizeof(struct bus1_cmd_send),
				   {
					   F8(bus1_cmd_send, flags, FLAGS, 3),
					   F8(bus1_cmd_send, ptr_destinations, POINTER, 20, &HANDLE_ENTRY),
					   F8(bus1_cmd_send, n_destinations, COUNT,
					      offsetof(struct bus1_cmd_send, ptr_destinations)),
					   F8(bus1_cmd_send, ptr_errors, POINTER, 20, &INT_ENTRY),
					   F8(bus1_cmd_send, ptr_vecs, POINTER, 40, &VECTOR),
					   F8(bus1_cmd_send, n_vecs, COUNT, offsetof(struct bus1_cmd_send, ptr_vecs)),
					   F8(bus1_cmd_send, ptr_handles, POINTER, 60, &HANDLE_ENTRY),
					   F8(bus1_cmd_send, n_handles, COUNT, offsetof(struct bus1_cmd_send, ptr_handles)),
					   F8(bus1_cmd_send, ptr_fds, POINTER, 12, &FILE_ENTRY),
					   F8(bus1_cmd_send, n_fds, COUNT, offsetof(struct bus1_cmd_send, ptr_fds)),
				   } };
static const struct shape RECV = { sizeof(struct bus1_cmd_recv),
				   {
					   F8(bus1_cmd_recv, flags, FLAGS, 7),
					   F8(bus1_cmd_recv, max_offset, NUMBER, -1),
					   F8(bus1_cmd_recv, msg.destination, GIVES_HANDLE),
					   F8(bus1_cmd_recv, msg.offset, GIVES_SLICE),
				   } };
struct recv_2019 {
	__u64 flags, max_offset, type, message_flags, destination, offset, n_bytes, n_handles, n_fds;
};
static const struct shape RECV_2019 = { sizeof(struct recv_2019),
					{
						F8(recv_2019, flags, FLAGS, 7),
						F8(recv_2019, max_offset, NUMBER, -1),
						F8(recv_2019, destination, GIVES_HANDLE),
						F8(recv_2019, offset, GIVES_SLICE),
					} };

/* ---- the one of 2026, whose header cannot be included beside the others */

struct transfer_entry {
	__u64 flags, id;
};
struct message_2026 {
	__u64 flags, type, n_transfers, ptr_transfers, n_data, n_data_vecs, ptr_data_vecs;
};
struct metadata {
	__u64 flags, id, account;
};
struct transfer_2026 {
	__u64 flags, to, n_transfers, ptr_src, ptr_dst;
};
struct release_2026 {
	__u64 flags, n_ids, ptr_ids;
};
struct send_2026 {
	__u64 flags, n_destinations, ptr_destinations, ptr_errors, ptr_message;
};
struct receive_2026 {
	__u64 flags, ptr_metadata, ptr_message;
};

static const struct shape NEW_ENTRY = { sizeof(struct transfer_entry),
					{ F8(transfer_entry, flags, NUMBER, 1), F8(transfer_entry, id, NUMBER, -1) } };
static const struct shape OLD_ENTRY = { sizeof(struct transfer_entry),
					{ F8(transfer_entry, flags, FLAGS, 0), F8(transfer_entry, id, HANDLE) } };
static const struct shape GIVEN_ENTRY = { sizeof(struct transfer_entry), { F8(transfer_entry, id, GIVES_HANDLE) } };
static const struct shape METADATA = { sizeof(struct metadata), { F8(metadata, id, GIVES_HANDLE) } };
#define MESSAGE_FIELDS(entry) \
	F8(message_2026, n_transfers, COUNT, offsetof(struct message_2026, ptr_transfers)), \
		F8(message_2026, ptr_transfers, POINTER, 40, &entry), F8(message_2026, n_data, NUMBER, 600), \
		F8(message_2026, n_data_vecs, COUNT, offsetof(struct message_2026, ptr_data_vecs)), \
		F8(message_2026, ptr_data_vecs, POINTER, 20, &VECTOR)
static const struct shape MESSAGE_SENT = { sizeof(struct message_2026),
					   { F8(message_2026, type, NUMBER, 0), MESSAGE_FIELDS(OLD_ENTRY) } };
static const struct shape MESSAGE_RECEIVED = { sizeof(struct message_2026),
					       { F8(message_2026, type, NUMBER, -1), MESSAGE_FIELDS(GIVEN_ENTRY) } };
#define TRANSFER_FIELDS(entry) \
	F8(transfer_2026, flags, FLAGS, 0), F8(transfer_2026, to, PEER), \
		F8(transfer_2026, n_transfers, COUNT, offsetof(struct transfer_2026, ptr_src)), \
		F8(transfer_2026, ptr_src, POINTER, 12, &entry), F8(transfer_2026, ptr_dst, POINTER, 12, &GIVEN_ENTRY)
static const struct shape TRANSFER_NEW = { sizeof(struct transfer_2026), { TRANSFER_FIELDS(NEW_ENTRY) } };
static const struct shape TRANSFER_OLD = { sizeof(struct transfer_2026), { TRANSFER_FIELDS(OLD_ENTRY) } };
static const struct shape RELEASE = { sizeof(struct release_2026),
				      {
					      F8(release_2026, flags, FLAGS, 0),
					      F8(release_2026, n_ids, COUNT, offsetof(struct release_2026, ptr_ids)),
					      F8(release_2026, ptr_ids, POINTER, 8, &HANDLE_ENTRY),
				      } };
static const struct shape SEND_2026 = { sizeof(struct send_2026),
					{
						F8(send_2026, flags, FLAGS, 0),
						F8(send_2026, n_destinations, COUNT,
						   offsetof(struct send_2026, ptr_destinations)),
						F8(send_2026, ptr_destinations, POINTER, 12, &HANDLE_ENTRY),
						F8(send_2026, ptr_errors, POINTER, 12, &INT_ENTRY),
						F8(send_2026, ptr_message, POINTER, 1, &MESSAGE_SENT),
					} };
static const struct shape RECEIVE_2026 = { sizeof(struct receive_2026),
					   {
						   F8(receive_2026, flags, FLAGS, 0),
						   F8(receive_2026, ptr_metadata, POINTER, 1, &METADATA),
						   F8(receive_2026, ptr_message, POINTER, 1, &MESSAGE_RECEIVED),
					   } };

/* ---- the commands of each ABI; a file speaks one of them */

static const struct row ROWS_2016[] = {
	{ "PEER_DISCONNECT", BUS1_CMD_PEER_DISCONNECT, &NOTHING, 1 },
	{ "PEER_QUERY", BUS1_CMD_PEER_QUERY, &QUERY, 4 },
	{ "PEER_RESET", BUS1_CMD_PEER_RESET, &RESET_, 4 },
	{ "HANDLE_RELEASE", BUS1_CMD_HANDLE_RELEASE, &ONE_HANDLE, 12 },
	{ "HANDLE_TRANSFER", BUS1_CMD_HANDLE_TRANSFER, &HANDLE_TRANSFER, 16 },
	{ "NODES_DESTROY", BUS1_CMD_NODES_DESTROY, &NODES_DESTROY, 6 },
	{ "SLICE_RELEASE", BUS1_CMD_SLICE_RELEASE, &ONE_SLICE, 14 },
	{ "SEND", BUS1_CMD_SEND, &SEND, 40 },
	{ "RECV", BUS1_CMD_RECV, &RECV, 36 },
	{ "RECV of 2019", _IOWR(0x96, 0x50, struct recv_2019), &RECV_2019, 6 },
	{ 0 },
};

static const struct row ROWS_2026[] = {
	{ "TRANSFER of new nodes", _IOWR(0x97, 0x00, struct transfer_2026), &TRANSFER_NEW, 12 },
	{ "TRANSFER of handles", _IOWR(0x97, 0x00, struct transfer_2026), &TRANSFER_OLD, 14 },
	{ "RELEASE", _IOWR(0x97, 0x01, struct release_2026), &RELEASE, 14 },
	{ "SEND of 2026", _IOWR(0x97, 0x02, struct send_2026), &SEND_2026, 40 },
	{ "RECV of 2026", _IOWR(0x97, 0x03, struct receive_2026), &RECEIVE_2026, 40 },
	{ 0 },
};

static const struct row *const ABIS[] = { ROWS_2016, ROWS_2026 };

#endif
