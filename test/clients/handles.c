/* Nodes and handles: ids, references, transfer, destruction and what it tells whom. Contract sections 2 and 5. */
#include "bus1-test.h"
#include <sys/stat.h>

#define MANAGED(n) ((__u64)(n) << 3 | BUS1_HANDLE_FLAG_MANAGED)
#define REMOTE(n) (MANAGED(n) | BUS1_HANDLE_FLAG_REMOTE)

static void ids_are_the_owners_or_counted(void)
{
	static const __u64 own[] = { 0, 4, 8, 0x7ffffffffffffff0, 0xfffffffffffffff8, 1ULL << 53, (1ULL << 53) + 4 };
	int a = peer_open(), b = peer_open();
	for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
		__u64 id;
		EXPECT(transfer(a, own[i], -1, &id), 0);
		EXPECT(id, own[i]);
		EXPECT(give(a, own[i], b), REMOTE(i + 1));
		EXPECT(give(a, own[i], b), REMOTE(i + 1));
	}
	EXPECT(release(b, REMOTE(1)), 0);
	EXPECT(release(b, REMOTE(1)), 0);
	EXPECT(release(b, REMOTE(1)), -ENXIO);
	/* the counter never goes back, not even over a flush */
	EXPECT(give(a, 0, b), REMOTE(8));
	EXPECT(flush(b), 0);
	EXPECT(give(a, 0, b), REMOTE(9));
}

static void unknown_ids(void)
{
	int a = peer_open();
	for (__u64 bits = 1; bits < 4; bits++) {
		EXPECT(release(a, 0x100 | bits), -ENXIO);
		EXPECT(transfer(a, 0x100 | bits, -1, NULL), -ENXIO);
		EXPECT(destroy(a, 0, ARRAY(0x100 | bits)), -ENXIO);
		EXPECT(send_text(a, 0x100 | bits, "x"), -ENXIO);
		EXPECT(send_handles(a, 8, ARRAY(0x100 | bits)), -ENXIO);
	}
	EXPECT(release(a, 8), -EBUSY);
}

static void a_failed_call_creates_no_node(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_cmd_peer_reset q;
	EXPECT(reset(a, RESET(.max_handles = 2)), 0);
	EXPECT(send_handles(a, 8, ARRAY(16, UNKNOWN_ID)), -ENXIO);
	EXPECT(send_handles(a, UNKNOWN_ID, ARRAY(16, 24)), -ENXIO);
	EXPECT(destroy(a, 0, ARRAY(16, 24, UNKNOWN_ID)), -ENXIO);
	EXPECT(transfer(a, 16, b + 100, NULL), -EBADF);
	EXPECT(send_handles(a, 8, ARRAY(16, 24)), -EDQUOT);
	/* nothing was charged: both references are still to be had */
	EXPECT(give(a, 8, a), 8);
	EXPECT(transfer(a, 16, -1, NULL), -EDQUOT);
	EXPECT(query(a, &q), 0);
}

static void release_counts_user_references(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handle = give(a, 8, b);
	EXPECT(give(a, 8, b), handle);
	EXPECT(transfer(b, handle, -1, NULL), 0);
	EXPECT(release(a, 8), -EBUSY);
	EXPECT(release(b, handle), 0);
	EXPECT(release(b, handle), 0);
	CHECK(nothing(a));
	EXPECT(release(b, handle), 0);
	EXPECT(release(b, handle), -ENXIO);
	EXPECT_NOTE(a, NODE_RELEASE, 8);
	CHECK(nothing(a));
	CHECK(give(a, 8, b) != handle);
}

static void release_notification_is_withdrawn(void)
{
	int a = peer_open(), b = peer_open();
	EXPECT(release(b, give(a, 8, b)), 0);
	EXPECT(poll_now(a), READABLE);
	__u64 handle = give(a, 8, b);
	EXPECT(poll_now(a), IDLE);
	CHECK(nothing(a));
	EXPECT(release(b, handle), 0);
	EXPECT_NOTE(a, NODE_RELEASE, 8);
}

static void own_references_are_strong_but_one(void)
{
	int a = peer_open();
	EXPECT(give(a, 8, a), 8);
	EXPECT(release(a, 8), 0);
	EXPECT_NOTE(a, NODE_RELEASE, 8);
	EXPECT(release(a, 8), -EBUSY);
}

static void a_queued_handle_is_strong(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct bus1_cmd_recv recv;
	__u64 to_c = give(c, 8, b), handle = give(a, 8, b);
	EXPECT(send_handles(b, to_c, ARRAY(handle, handle)), 0);
	EXPECT(release(b, handle), 0);
	CHECK(nothing(a));
	EXPECT(recv_message(c, &recv), 0);
	EXPECT(handle_at(c, &recv, 0), REMOTE(1));
	EXPECT(handle_at(c, &recv, 1), REMOTE(1));
	EXPECT(release(c, REMOTE(1)), 0);
	CHECK(nothing(a));
	EXPECT(release(c, REMOTE(1)), 0);
	EXPECT_NOTE(a, NODE_RELEASE, 8);
}

static void transfer_errors(void)
{
	int a = peer_open(), b = peer_open(), sockets[2];
	int path = open(device, O_PATH | O_CLOEXEC), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct bus1_cmd_handle_transfer t = { .flags = 1, .src_handle = 8, .dst_fd = b };
	CHECK(path >= 0 && null >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	EXPECT(command(a, BUS1_CMD_HANDLE_TRANSFER, &t), -EINVAL);
	EXPECT(transfer(a, 8, 9999, NULL), -EBADF);
	EXPECT(transfer(a, 8, 0xffffffff, NULL), -EBADF);
	EXPECT(transfer(a, 8, path, NULL), -EBADF);
	EXPECT(transfer(a, 8, null, NULL), -EOPNOTSUPP);
	EXPECT(transfer(a, 8, sockets[0], NULL), -EOPNOTSUPP);
	EXPECT(transfer(a, UNKNOWN_ID, null, NULL), -EOPNOTSUPP);
	EXPECT(transfer(a, UNKNOWN_ID, b, NULL), -ENXIO);
	EXPECT(transfer(a, 8, 1ULL << 32 | b, NULL), 0);
	EXPECT(disconnect(b), 0);
	EXPECT(transfer(a, UNKNOWN_ID, b, NULL), -ESHUTDOWN);
}

static void transfer_to_a_peer_of_every_access_mode(void)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, 3 };
	int a = peer_open();
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) EXPECT(give(a, 8, open(device, modes[i] | O_CLOEXEC)), REMOTE(1));
}

static void transfer_of_a_destroyed_node(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handle = give(a, 8, b), id;
	EXPECT(destroy(a, 0, ARRAY(8)), 0);
	EXPECT(reset(b, RESET(.max_handles = 0)), 0);
	EXPECT(transfer(b, handle, -1, &id), 0);
	EXPECT(id, BUS1_HANDLE_INVALID);
	EXPECT(transfer(a, 8, b, &id), 0);
	EXPECT(id, BUS1_HANDLE_INVALID);
}

static void destroy_errors(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_cmd_nodes_destroy d = { .flags = 2 };
	__u64 remote = give(b, 8, a);
	EXPECT(command(a, BUS1_CMD_NODES_DESTROY, &d), -EINVAL);
	d = (struct bus1_cmd_nodes_destroy){ .n_nodes = 65537, .ptr_nodes = BAD_POINTER };
	EXPECT(command(a, BUS1_CMD_NODES_DESTROY, &d), -EINVAL);
	d.n_nodes = 1;
	EXPECT(command(a, BUS1_CMD_NODES_DESTROY, &d), -EFAULT);
	d.n_nodes = 0;
	EXPECT(command(a, BUS1_CMD_NODES_DESTROY, &d), 0);
	EXPECT(give(a, 16, b), REMOTE(1));
	EXPECT(destroy(a, 0, ARRAY(16, 16)), -ENOTUNIQ);
	EXPECT(destroy(a, 0, ARRAY(16, remote)), -EREMOTE);
	EXPECT(destroy(a, 0, ARRAY(16, UNKNOWN_ID, remote)), -ENXIO);
	CHECK(nothing(b));
	EXPECT(destroy(a, 0, ARRAY(16)), 0);
	EXPECT(destroy(a, 0, ARRAY(24, 16)), -ESTALE);
	EXPECT_NOTE(b, NODE_DESTROY, REMOTE(1));
	EXPECT_NOTE(a, NODE_DESTROY, 16);
	CHECK(nothing(a));
}

static void destroy_is_one_transaction(void)
{
	int a = peer_open(), b = peer_open();
	const int named[] = { 2, 1, 3 };
	struct bus1_cmd_recv recv;
	give(a, 8, b), give(a, 16, b), give(a, 24, b);
	EXPECT(destroy(a, BUS1_NODES_DESTROY_FLAG_RELEASE_HANDLES, ARRAY(16, 8, 24)), 0);
	for (int i = 0; i < 3; i++) {
		EXPECT(recv_message(b, &recv), 0);
		EXPECT(recv.msg.type, BUS1_MSG_NODE_DESTROY);
		/* in the order in which the transaction named them */
		EXPECT(recv.msg.destination, REMOTE(named[i]));
		EXPECT(recv.msg.flags, i < 2 ? BUS1_MSG_FLAG_CONTINUE : 0);
	}
	CHECK(nothing(a) && nothing(b));
}

static void a_destroyed_node_lingers_until_released(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handle = give(a, 8, b);
	EXPECT(destroy(a, 0, ARRAY(8)), 0);
	EXPECT(send_text(b, handle, "late"), 0);
	EXPECT_NOTE(a, NODE_DESTROY, 8);
	CHECK(nothing(a));
	EXPECT(release(a, 8), 0);
	EXPECT(send_text(b, handle, "late"), -ESHUTDOWN);
	/* the old id names a new node now */
	EXPECT(give(a, 8, b), REMOTE(2));
	EXPECT_NOTE(b, NODE_DESTROY, handle);
	EXPECT(release(b, handle), 0);
	CHECK(nothing(a));
}

static void released_holders_hear_nothing(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handle = give(a, 8, b);
	EXPECT(destroy(a, BUS1_NODES_DESTROY_FLAG_RELEASE_HANDLES, ARRAY(8)), 0);
	EXPECT(poll_now(b), READABLE);
	EXPECT(release(b, handle), 0);
	EXPECT(poll_now(b), IDLE);
	CHECK(nothing(b) && nothing(a));
}

static void a_message_brings_a_destroyed_handle_back(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct bus1_cmd_recv recv;
	__u64 to_b = give(b, 8, c), to_a = give(a, 8, c), handle = give(a, 16, c);
	EXPECT(give(a, 16, b), REMOTE(1));
	EXPECT(send_handles(c, to_b, ARRAY(handle)), 0);
	EXPECT(send_handles(c, to_a, ARRAY(handle)), 0);
	EXPECT(send_text(c, handle, "data"), 0);
	EXPECT(destroy(a, BUS1_NODES_DESTROY_FLAG_RELEASE_HANDLES, ARRAY(16)), 0);
	EXPECT(release(b, REMOTE(1)), 0);
	/* a holder: the handle returns under a new id, then its destruction is told */
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(handle_at(b, &recv, 0), REMOTE(2));
	EXPECT_NOTE(b, NODE_DESTROY, REMOTE(2));
	/* the owner: the same, its new id is managed but not remote, and the message in between arrives */
	EXPECT(recv_message(a, &recv), 0);
	EXPECT(handle_at(a, &recv, 0), MANAGED(1));
	EXPECT_TEXT(a, MANAGED(1), "data");
	EXPECT_NOTE(a, NODE_DESTROY, MANAGED(1));
	EXPECT(release(a, MANAGED(1)), 0);
	CHECK(nothing(a) && nothing(b));
}

static void a_handle_sent_after_its_destruction_is_invalid(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct bus1_cmd_recv recv;
	__u64 to_b = give(b, 8, c), dead = give(a, 8, c), live = give(a, 16, c);
	EXPECT(destroy(a, 0, ARRAY(8)), 0);
	EXPECT(reset(b, RESET(.max_handles = 3)), 0);
	EXPECT(send_handles(c, to_b, ARRAY(dead, live)), 0);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(recv.msg.n_handles, 2);
	EXPECT(handle_at(b, &recv, 0), BUS1_HANDLE_INVALID);
	EXPECT(handle_at(b, &recv, 1), REMOTE(1));
	/* the charge of the invalid one was returned: own node, live handle, and one more */
	EXPECT(give(a, 24, b), REMOTE(2));
	EXPECT(transfer(a, 32, b, NULL), -EDQUOT);
}

static void flush_gives_everything_up(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_cmd_recv recv;
	__u64 to_a = give(a, 8, b), to_b = give(b, 8, a);
	EXPECT(send_text(b, to_a, "dropped"), 0);
	EXPECT(send_text(b, to_a, "exposed"), 0);
	EXPECT(recv_message(a, &recv), 0);
	EXPECT(flush(a), 0);
	CHECK(nothing(a));
	EXPECT(slice_release(a, recv.msg.offset), -ENXIO);
	EXPECT(release(a, to_b), -ENXIO);
	EXPECT(send_text(b, to_a, "gone"), -ESHUTDOWN);
	EXPECT_NOTE(b, NODE_DESTROY, to_a);
	EXPECT_NOTE(b, NODE_RELEASE, 8);
	CHECK(nothing(b));
	/* connected as before, and the id is free again */
	EXPECT(send_text(b, give(a, 8, b), "new"), 0);
	EXPECT_TEXT(a, 8, "new");
}

MAIN(CASE(ids_are_the_owners_or_counted), CASE(unknown_ids), CASE(a_failed_call_creates_no_node),
     CASE(release_counts_user_references), CASE(release_notification_is_withdrawn), CASE(own_references_are_strong_but_one),
     CASE(a_queued_handle_is_strong), CASE(transfer_errors), CASE(transfer_to_a_peer_of_every_access_mode),
     CASE(transfer_of_a_destroyed_node), CASE(destroy_errors), CASE(destroy_is_one_transaction),
     CASE(a_destroyed_node_lingers_until_released), CASE(released_holders_hear_nothing),
     CASE(a_message_brings_a_destroyed_handle_back), CASE(a_handle_sent_after_its_destruction_is_invalid),
     CASE(flush_gives_everything_up))
