/* SEND, RECV, slices and quotas. Contract sections 6 to 10. */
#include "bus1-test.h"

static int send_raw(int peer, struct bus1_cmd_send send)
{
	return command(peer, BUS1_CMD_SEND, &send);
}

static void unicast_and_multicast(void)
{
	enum { N = 40 };
	int a = peer_open(), b[N];
	__u64 handles[N];
	struct bus1_cmd_recv recv;
	for (int i = 0; i < N; i++) handles[i] = give(b[i] = peer_open(), 8 * i, a);
	EXPECT(send_message(a, &(struct message){
				       .destinations = handles,
				       .n_destinations = N,
				       .payload = "all",
				       .size = 3,
				       .handles = (__u64[]){ 80 },
				       .n_handles = 1,
			       }),
	       0);
	for (int i = 0; i < N; i++) {
		const uint8_t *map = pool(b[i]);
		EXPECT(recv_message(b[i], &recv), 0);
		EXPECT(recv.msg.destination, 8 * i);
		EXPECT(recv.msg.flags, 0);
		EXPECT(recv.msg.uid, getuid());
		EXPECT(recv.msg.gid, getgid());
		EXPECT(recv.msg.pid, getpid());
		EXPECT(recv.msg.tid, gettid());
		EXPECT(memcmp(map + recv.msg.offset, "all", 3), 0);
		EXPECT(handle_at(b[i], &recv, 0), 1 << 3 | 3);
	}
}

static void one_transaction_to_one_peer_continues(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handles[] = { give(b, 16, a), give(b, 8, a) };
	struct bus1_cmd_recv recv;
	EXPECT(send_message(a, &(struct message){ .destinations = handles, .n_destinations = 2 }), 0);
	EXPECT(send_text(a, handles[0], "other"), 0);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(recv.msg.destination, 16);
	EXPECT(recv.msg.flags, BUS1_MSG_FLAG_CONTINUE);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(recv.msg.destination, 8);
	EXPECT(recv.msg.flags, 0);
	EXPECT_TEXT(b, 16, "other");
}

static void global_order(void)
{
	enum {
		N = 6,
		ROUNDS = 200,
	};
	int a[N], b[2];
	pid_t children[N];
	__u64 handles[N][2], seen[2][N * ROUNDS];
	struct bus1_cmd_recv recv;
	for (int i = 0; i < 2; i++) b[i] = peer_open();
	for (int i = 0; i < N; i++) {
		a[i] = peer_open();
		for (int j = 0; j < 2; j++) handles[i][j] = give(b[j], 8, a[i]);
	}
	for (int i = 0; i < N; i++) {
		if ((children[i] = fork()) > 0) continue;
		for (int r = 0; r < ROUNDS; r++) {
			__u64 mark = i * ROUNDS + r;
			CHECK(!send_message(a[i], &(struct message){
							  .destinations = handles[i],
							  .n_destinations = 2,
							  .payload = &mark,
							  .size = 8,
						  }));
		}
		_exit(0);
	}
	for (int i = 0; i < N; i++) join(children[i]);
	for (int j = 0; j < 2; j++) {
		const uint8_t *map = pool(b[j]);
		for (int i = 0; i < N * ROUNDS; i++) {
			EXPECT(recv_message(b[j], &recv), 0);
			memcpy(&seen[j][i], map + recv.msg.offset, 8);
		}
	}
	EXPECT(memcmp(seen[0], seen[1], sizeof seen[0]), 0);
}

static void payload_sizes_and_slices(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handle = give(b, 8, a), offset = 0;
	struct bus1_cmd_recv recv;
	static const size_t sizes[] = { 0, 1, 7, 8, 9, 100, 4095, 4096, 4097 };
	char payload[5000];
	memset(payload, 'p', sizeof payload);
	const uint8_t *map = pool(b);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		EXPECT(send_message(a, &(struct message){
					       .destinations = &handle,
					       .n_destinations = 1,
					       .payload = payload,
					       .size = sizes[i],
				       }),
		       0);
		EXPECT(recv_message(b, &recv), 0);
		EXPECT(recv.msg.n_bytes, sizes[i]);
		EXPECT(recv.msg.offset, offset);
		EXPECT(memcmp(map + offset, payload, sizes[i]), 0);
		offset += sizes[i] ? (sizes[i] + 7) / 8 * 8 : 8;
	}
	EXPECT(slice_release(b, 4), -ENXIO);
	EXPECT(slice_release(b, offset), -ENXIO);
	EXPECT(slice_release(b, 8), 0);
	EXPECT(slice_release(b, 8), -ENXIO);
}

static void many_vectors(void)
{
	int a = peer_open(), b = peer_open();
	static char payload[1025];
	struct iovec vecs[1025];
	struct bus1_cmd_recv recv;
	__u64 handle = give(b, 8, a);
	for (int i = 0; i < 1025; i++) payload[i] = i * 7, vecs[i] = (struct iovec){ payload + i, 1 };
	struct bus1_cmd_send send = {
		.ptr_destinations = (uintptr_t)&handle,
		.n_destinations = 1,
		.ptr_vecs = (uintptr_t)vecs,
		.n_vecs = 1024,
	};
	EXPECT(send_raw(a, send), 0);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(recv.msg.n_bytes, 1024);
	EXPECT(memcmp(pool(b) + recv.msg.offset, payload, 1024), 0);
	send.n_vecs = 1025;
	EXPECT(send_raw(a, send), -EMSGSIZE);
}

/* However many vectors there are for however many receivers; and none of them gets anything if one cannot be read. */
static void many_vectors_to_many(void)
{
	enum {
		RECEIVERS = 130,
		MOST = 1024,
	};
	static uint8_t payload[3 * MOST];
	int a = peer_open(), b[RECEIVERS];
	__u64 handles[RECEIVERS];
	struct iovec vecs[MOST];
	for (size_t i = 0; i < sizeof payload; i++) payload[i] = i * 7;
	for (int i = 0; i < RECEIVERS; i++) handles[i] = give(b[i] = peer_open(), 8, a);
	static const int counts[] = { 1, 7, 300, 600, MOST };
	for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
		int n = counts[c];
		struct bus1_cmd_send send = {
			.ptr_destinations = (uintptr_t)handles,
			.n_destinations = RECEIVERS,
			.ptr_vecs = (uintptr_t)vecs,
			.n_vecs = n,
		};
		for (int i = 0; i < n; i++) vecs[i] = (struct iovec){ payload + 3 * i, 3 };
		vecs[n - 1].iov_base = (void *)BAD_POINTER;
		EXPECT(command(a, BUS1_CMD_SEND, &send), -EFAULT);
		vecs[n - 1].iov_base = payload + 3 * (n - 1);
		EXPECT(command(a, BUS1_CMD_SEND, &send), 0);
		for (int i = 0; i < RECEIVERS; i++) {
			struct bus1_cmd_recv recv;
			const uint8_t *map = pool(b[i]);
			EXPECT(recv_message(b[i], &recv), 0);
			EXPECT(recv.msg.n_bytes, 3 * n);
			EXPECT(memcmp(map + recv.msg.offset, payload, 3 * n), 0);
			EXPECT(slice_release(b[i], recv.msg.offset), 0);
			CHECK(nothing(b[i]));
			munmap((void *)map, POOL_SIZE);
		}
	}
}

static void send_checks_in_order(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handle = give(b, 8, a), unknown = UNKNOWN_ID;
	struct iovec vec = { "x", 1 };
	uintptr_t to = (uintptr_t)&handle, bad = BAD_POINTER;
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .flags = 4 }), -EINVAL);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .flags = 1ULL << 32 }), -EINVAL);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .flags = 3 }), -EINVAL);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .flags = 2, .n_destinations = 1 }), -EINVAL);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_destinations = 1ULL << 31 }), -EMSGSIZE);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_vecs = 1025, .n_destinations = 65537 }), -EMSGSIZE);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_fds = 257 }), -EMSGSIZE);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_destinations = 65537 }), -EINVAL);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_handles = 65537, .n_vecs = 1, .ptr_vecs = bad }), -EDQUOT);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_vecs = 1, .ptr_vecs = bad, .n_handles = 1, .ptr_handles = (uintptr_t)&unknown }), -EFAULT);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_handles = 1, .ptr_handles = bad, .n_fds = 1, .ptr_fds = bad }), -EFAULT);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_handles = 1, .ptr_handles = (uintptr_t)&unknown, .n_fds = 1, .ptr_fds = bad }), -ENXIO);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_fds = 1, .ptr_fds = bad, .n_destinations = 1, .ptr_destinations = (uintptr_t)&unknown }), -EFAULT);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_destinations = 1, .ptr_destinations = bad }), -EFAULT);
	EXPECT(send_raw(a, (struct bus1_cmd_send){ .n_destinations = 1, .ptr_destinations = (uintptr_t)&unknown }), -ENXIO);
	EXPECT(send_message(a, &(struct message){ .destinations = (__u64[]){ handle, handle, unknown }, .n_destinations = 3 }), -ENOTUNIQ);
	EXPECT(send_message(a, &(struct message){ .destinations = (__u64[]){ handle, unknown, handle }, .n_destinations = 3 }), -ENXIO);
	/* whether the payload can be read is found per destination */
	struct bus1_cmd_send send = { .ptr_vecs = (uintptr_t)&vec, .n_vecs = 1, .ptr_destinations = to, .n_destinations = 1 };
	vec.iov_base = (void *)bad;
	EXPECT(send_raw(a, send), -EFAULT);
	__u64 pair[] = { handle, unknown }, reverse[] = { unknown, handle };
	send.n_destinations = 2;
	send.ptr_destinations = (uintptr_t)pair;
	EXPECT(send_raw(a, send), -EFAULT);
	send.ptr_destinations = (uintptr_t)reverse;
	EXPECT(send_raw(a, send), -ENXIO);
	send.n_destinations = 0;
	EXPECT(send_raw(a, send), 0);
	CHECK(nothing(b));
}

static void vectors_are_checked(void)
{
	static const struct {
		uint64_t base, size;
		int error;
	} cases[] = {
		{ 0x1000, 1ULL << 63, -EMSGSIZE },
		{ 0x1000, -1, -EMSGSIZE },
		{ 0x1000, 0x7fffffffffffffff, -EFAULT },
		{ 0x7ffffffff000, 1, -EFAULT },
		{ 0x7ffffffff001, 0, -EFAULT },
		{ 0xffff888000001000, 0, -EFAULT },
		{ 0x1000, 0x7ffff001, -EMSGSIZE },
		{ 0x1000, 0x20000000, -EMSGSIZE },
		{ 0x1000, 0x1ffffff9, -EMSGSIZE },
		{ 0, 0, 0 },
		{ 0x7ffffffff000, 0, 0 },
	};
	int a = peer_open();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct iovec vec = { (void *)cases[i].base, cases[i].size };
		__u64 own = 8;
		struct bus1_cmd_send send = {
			.ptr_vecs = (uintptr_t)&vec,
			.n_vecs = 1,
			.ptr_destinations = (uintptr_t)&own,
			.n_destinations = 1,
		};
		EXPECT(send_raw(a, send), cases[i].error);
	}
}

static void a_failed_send_changes_nothing(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	__u64 handles[] = { give(b, 8, a), give(c, 8, a) };
	struct bus1_cmd_recv recv;
	EXPECT(reset(c, RESET(.max_slices = 0)), 0);
	for (int i = 0; i < 20000; i++) {
		EXPECT(send_message(a, &(struct message){
					       .destinations = handles,
					       .n_destinations = 2,
					       .payload = "12345678",
					       .size = 8,
					       .handles = (__u64[]){ 800 },
					       .n_handles = 1,
				       }),
		       -EDQUOT);
	}
	CHECK(nothing(b) && nothing(c) && nothing(a));
	EXPECT(send_text(a, handles[0], "first"), 0);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(recv.msg.offset, 0);
}

static void quota_of_slices(void)
{
	int a = peer_open();
	struct bus1_cmd_recv first, recv;
	EXPECT(reset(a, RESET(.max_slices = 2)), 0);
	EXPECT(send_text(a, 8, "1"), 0);
	EXPECT(send_text(a, 8, "2"), 0);
	EXPECT(send_text(a, 8, "3"), -EDQUOT);
	EXPECT(recv_flags(a, &first, BUS1_RECV_FLAG_PEEK), 0);
	EXPECT(slice_release(a, first.msg.offset), 0);
	EXPECT(send_text(a, 8, "3"), -EDQUOT);
	EXPECT(recv_message(a, &recv), 0);
	EXPECT(recv.msg.offset, first.msg.offset);
	EXPECT(send_text(a, 8, "3"), -EDQUOT);
	EXPECT(slice_release(a, recv.msg.offset), 0);
	EXPECT(send_text(a, 8, "3"), 0);
}

static void quota_of_handles(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_cmd_recv recv;
	__u64 handle = give(b, 8, a);
	EXPECT(reset(b, RESET(.max_handles = 3)), 0);
	EXPECT(send_handles(a, handle, ARRAY(8, 16, 24)), -EDQUOT);
	EXPECT(send_handles(a, handle, ARRAY(8, 8)), 0);
	EXPECT(send_handles(a, handle, ARRAY(8)), -EDQUOT);
	EXPECT(recv_flags(b, &recv, BUS1_RECV_FLAG_PEEK), -EDQUOT);
	EXPECT(reset(b, RESET(.max_handles = 5)), 0);
	EXPECT(recv_flags(b, &recv, BUS1_RECV_FLAG_PEEK), 0);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(send_handles(a, handle, ARRAY(8)), -EDQUOT);
	for (int i = 0; i < 4; i++) EXPECT(release(b, 1 << 3 | 3), 0);
	EXPECT(release(b, 1 << 3 | 3), -ENXIO);
	EXPECT(send_handles(a, handle, ARRAY(8, 8, 8, 8)), 0);
}

static void quota_in_flight(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_cmd_recv recv;
	__u64 handle = give(b, 8, a);
	EXPECT(reset(b, RESET(.max_inflight_bytes = 16)), 0);
	EXPECT(send_text(a, handle, "123456789"), 0);
	EXPECT(send_text(a, handle, ""), -EDQUOT);
	EXPECT(recv_message(b, &recv), 0);
	/* dequeuing returns it, whatever becomes of the slice */
	EXPECT(send_text(a, handle, "12345678"), 0);
	EXPECT(send_text(a, handle, "123456789"), -EDQUOT);
	EXPECT(send_text(a, handle, "1"), 0);
}

static void pool_runs_full(void)
{
	enum { SIZE = 15 << 20 };
	int a = peer_open(), count = 0, r;
	char *big = calloc(1, SIZE);
	struct bus1_cmd_recv recv;
	__u64 own = 8, last = 0;
	struct message m = { .destinations = &own, .n_destinations = 1, .payload = big, .size = SIZE };
	while ((r = send_message(a, &m)) == 0) {
		EXPECT(recv_message(a, &recv), 0);
		last = recv.msg.offset;
		count++;
	}
	EXPECT(r, -EXFULL);
	EXPECT(count, (int)(POOL_SIZE / SIZE));
	EXPECT(slice_release(a, last), 0);
	EXPECT(send_message(a, &m), 0);
}

static void recv_errors(void)
{
	int a = peer_open();
	struct bus1_cmd_recv recv = { .flags = 8 };
	EXPECT(command(a, BUS1_CMD_RECV, &recv), -EINVAL);
	recv.flags = 1ULL << 32;
	EXPECT(command(a, BUS1_CMD_RECV, &recv), -EINVAL);
	EXPECT(recv_message(a, &recv), -EAGAIN);
	EXPECT(recv_flags(a, &recv, BUS1_RECV_FLAG_SEED), -EAGAIN);
	EXPECT(send_text(a, 8, "123456789"), 0);
	recv = (struct bus1_cmd_recv){ .max_offset = 15 };
	EXPECT(command(a, BUS1_CMD_RECV, &recv), -ERANGE);
	EXPECT(command(a, BUS1_CMD_RECV, (void *)BAD_POINTER), -EFAULT);
	recv.max_offset = 16;
	EXPECT(command(a, BUS1_CMD_RECV, &recv), 0);
	EXPECT(recv.msg.n_bytes, 9);
}

static void peek_shows_and_keeps(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_cmd_recv recv;
	__u64 handle = give(b, 8, a);
	EXPECT(send_handles(a, handle, ARRAY(16)), 0);
	for (int i = 0; i < 3; i++) {
		EXPECT(recv_flags(b, &recv, BUS1_RECV_FLAG_PEEK), 0);
		EXPECT(handle_at(b, &recv, 0), 1 << 3 | 3);
		EXPECT(poll_now(b), READABLE);
	}
	EXPECT(recv_message(b, &recv), 0);
	CHECK(nothing(b));
	for (int i = 0; i < 4; i++) EXPECT(release(b, 1 << 3 | 3), 0);
	EXPECT(release(b, 1 << 3 | 3), -ENXIO);
}

static void zero_destinations_keep_new_nodes(void)
{
	int a = peer_open();
	EXPECT(reset(a, RESET(.max_handles = 2)), 0);
	EXPECT(send_message(a, &(struct message){ .handles = (__u64[]){ 8, 16 }, .n_handles = 2, .payload = "x", .size = 1 }), 0);
	EXPECT(send_message(a, &(struct message){ .handles = (__u64[]){ 24 }, .n_handles = 1 }), -EDQUOT);
	EXPECT(destroy(a, BUS1_NODES_DESTROY_FLAG_RELEASE_HANDLES, ARRAY(8)), 0);
	EXPECT(send_message(a, &(struct message){ .handles = (__u64[]){ 24 }, .n_handles = 1 }), 0);
	CHECK(nothing(a));
}

static void continue_reports_each_destination(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open(), d = peer_open();
	__u64 handles[] = { give(b, 8, a), give(c, 8, a), give(d, 8, a) };
	int errors[] = { -1, -1, -1, -1 };
	struct message m = {
		.flags = BUS1_SEND_FLAG_CONTINUE,
		.destinations = handles,
		.n_destinations = 3,
		.payload = "x",
		.size = 1,
		.errors = errors,
	};
	EXPECT(reset(b, RESET(.max_slices = 0)), 0);
	EXPECT(disconnect(c), 0);
	EXPECT(send_message(a, &m), 0);
	EXPECT(errors[0], EDQUOT);
	EXPECT(errors[1], ESHUTDOWN);
	EXPECT(errors[2], 0);
	EXPECT(errors[3], -1);
	EXPECT_TEXT(d, 8, "x");
	m.errors = (int *)BAD_POINTER;
	EXPECT(send_message(a, &m), -EFAULT);
	CHECK(nothing(d));
	/* nothing of a call that fails so late was charged either */
	m.handles = (__u64[]){ 800, 808 }, m.n_handles = 2;
	EXPECT(reset(a, RESET(.max_handles = 5)), 0);
	for (int i = 0; i < 10; i++) EXPECT(send_message(a, &m), -EFAULT);
	EXPECT(reset(a, RESET(.max_handles = 65536)), 0);
	m.errors = NULL, m.n_handles = 0;
	EXPECT(send_message(a, &m), 0);
	EXPECT_TEXT(d, 8, "x");
	/* the sender's own mistakes fail it whole */
	m.errors = errors;
	handles[2] = UNKNOWN_ID;
	errors[0] = -1;
	EXPECT(send_message(a, &m), -ENXIO);
	EXPECT(errors[0], -1);
	m.flags = 0;
	handles[2] = handles[0];
	EXPECT(send_message(a, &m), -EDQUOT);
	EXPECT(errors[0], -1);
}

static void seed_is_kept_for_its_peer(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_cmd_recv recv;
	__u64 remote = give(b, 8, a), seed_handles[] = { 16, remote };
	struct message seed = { .flags = BUS1_SEND_FLAG_SEED, .payload = "seed", .size = 4, .handles = seed_handles, .n_handles = 2 };
	EXPECT(reset(a, RESET(.max_inflight_bytes = 0)), 0);
	EXPECT(send_message(a, &seed), 0);
	CHECK(nothing(a));
	EXPECT(poll_now(a), IDLE);
	EXPECT(recv_flags(a, &recv, BUS1_RECV_FLAG_SEED | BUS1_RECV_FLAG_PEEK), 0);
	EXPECT(recv.msg.type, BUS1_MSG_DATA);
	EXPECT(recv.msg.n_bytes, 4);
	EXPECT(handle_at(a, &recv, 0), 16);
	EXPECT(handle_at(a, &recv, 1), remote);
	EXPECT(slice_release(a, recv.msg.offset), 0);
	EXPECT(flush(a), 0);
	CHECK(nothing(b));
	EXPECT(recv_flags(a, &recv, BUS1_RECV_FLAG_SEED), 0);
	EXPECT(memcmp(pool(a) + recv.msg.offset, "seed", 4), 0);
	EXPECT(handle_at(a, &recv, 0), 16);
	EXPECT(handle_at(a, &recv, 1), remote);
	EXPECT(recv_flags(a, &recv, BUS1_RECV_FLAG_SEED), -EAGAIN);
	/* a new one replaces the old, and FLUSH_SEED drops it */
	EXPECT(send_message(a, &seed), 0);
	seed.size = 2, seed.n_handles = 0;
	EXPECT(send_message(a, &seed), 0);
	EXPECT(recv_flags(a, &recv, BUS1_RECV_FLAG_SEED | BUS1_RECV_FLAG_PEEK), 0);
	EXPECT(recv.msg.n_bytes, 2);
	EXPECT(reset(a, RESET(.flags = BUS1_PEER_RESET_FLAG_FLUSH_SEED)), 0);
	EXPECT(recv_flags(a, &recv, BUS1_RECV_FLAG_SEED), -EAGAIN);
	EXPECT(reset(a, RESET(.flags = BUS1_PEER_RESET_FLAG_FLUSH | BUS1_PEER_RESET_FLAG_FLUSH_SEED)), 0);
	EXPECT_NOTE(b, NODE_RELEASE, 8);
}

static void the_2019_header(void)
{
	struct {
		__u64 flags, max_offset, type, msg_flags, destination, offset, n_bytes, n_handles, n_fds;
	} recv = { .max_offset = -1 };
	unsigned long number = 0xc0489650;
	int a = peer_open(), b = peer_open();
	__u64 handles[] = { give(b, 8, a), give(b, 16, a) };
	EXPECT(command(b, number, &recv), -EAGAIN);
	recv.flags = 8;
	EXPECT(command(b, number, &recv), -EINVAL);
	recv.flags = 0;
	EXPECT(send_message(a, &(struct message){ .destinations = handles, .n_destinations = 2, .payload = "old", .size = 3 }), 0);
	EXPECT(command(b, number, &recv), 0);
	EXPECT(recv.type, BUS1_MSG_DATA);
	EXPECT(recv.msg_flags, 1);
	EXPECT(recv.destination, 8);
	EXPECT(recv.n_bytes, 3);
	EXPECT(recv.n_handles, 0);
	EXPECT(memcmp(pool(b) + recv.offset, "old", 3), 0);
	EXPECT(command(b, number, &recv), 0);
	EXPECT(recv.msg_flags, 0);
	EXPECT(recv.destination, 16);
	EXPECT(send_message(b, &(struct message){ .flags = BUS1_SEND_FLAG_SEED, .payload = "s", .size = 1 }), 0);
	recv.flags = 1;
	EXPECT(command(b, number, &recv), 0);
	EXPECT(command(b, number, &recv), -EAGAIN);
}

MAIN(CASE(unicast_and_multicast), CASE(one_transaction_to_one_peer_continues), CASE(global_order), CASE(payload_sizes_and_slices),
     CASE(many_vectors), CASE(many_vectors_to_many), CASE(send_checks_in_order), CASE(vectors_are_checked), CASE(a_failed_send_changes_nothing),
     CASE(quota_of_slices), CASE(quota_of_handles), CASE(quota_in_flight), CASE(pool_runs_full), CASE(recv_errors),
     CASE(peek_shows_and_keeps), CASE(zero_destinations_keep_new_nodes), CASE(continue_reports_each_destination),
     CASE(seed_is_kept_for_its_peer), CASE(the_2019_header))
