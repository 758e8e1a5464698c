/* The commands of the ABI of 2026, and the lives of nodes and handles. bus1-2026.md, sections 2 to 7. */
#include "bus1-2026-test.h"

/* ---- numbers */

static void ids_are_odd_and_counted(void)
{
	int a = peer_open(), b = peer_open();
	struct pair first = create(a, SELF), second = create(a, SELF), third = create(a, b), fourth = create(a, a);
	EXPECT(first.node, 1);
	EXPECT(first.handle, 3);
	EXPECT(second.node, 5);
	EXPECT(second.handle, 7);
	EXPECT(third.node, 9);
	EXPECT(third.handle, 1);
	EXPECT(fourth.node, 11);
	EXPECT(fourth.handle, 13);
	/* never again */
	EXPECT(drop(a, 1, 3, 5, 7, 11, 13), 0);
	EXPECT(create(a, SELF).node, 15);
	/* those of a received handle come from the same counter */
	EXPECT(post_with(b, 1, "x", 1, 1), 0);
	struct received r;
	EXPECT(take(a, &r), 0);
	EXPECT(r.transfers[0].id, 19);
	EXPECT(r.transfers[1].id, 21);
	EXPECT(create(a, SELF).node, 23);
}

static void unknown_commands(void)
{
	int a = peer_open();
	char argument[128] = { 0 };
	EXPECT(create(a, SELF).node, 1);
	EXPECT(command(a, _IOWR(BUS1_IOCTL_MAGIC, 0x04, char[24]), argument), -ENOTTY);
	EXPECT(command(a, _IOWR(BUS1_IOCTL_MAGIC, 0x00, char[32]), argument), -ENOTTY);
	EXPECT(command(a, _IOW(BUS1_IOCTL_MAGIC, 0x03, char[24]), argument), -ENOTTY);
	EXPECT(command(a, 0x5401 /* TCGETS */, argument), -ENOTTY);
	EXPECT(result(read(a, argument, 1)), -EINVAL);
	EXPECT(result(write(a, argument, 1)), -EINVAL);
}

/* Each structure, and where it is. */
static void arguments(void)
{
	static const struct {
		unsigned long number;
		size_t size;
	} commands[] = {
		{ BUS1_CMD_TRANSFER, sizeof(struct bus1_cmd_transfer) },
		{ BUS1_CMD_RELEASE, sizeof(struct bus1_cmd_release) },
		{ BUS1_CMD_SEND, sizeof(struct bus1_cmd_send) },
		{ BUS1_CMD_RECV, sizeof(struct bus1_cmd_recv) },
	};
	int a = peer_open();
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		for (int bit = 0; bit < 64; bit++) {
			__u64 argument[5] = { 1ULL << bit };
			EXPECT(command(a, commands[i].number, argument), -EINVAL);
		}
		EXPECT(command(a, commands[i].number, NULL), -EFAULT);
		EXPECT(command(a, commands[i].number, (void *)BAD_POINTER), -EFAULT);
	}
	/* what a command gets it leaves as it is */
	struct pair p = create(a, SELF);
	struct bus1_transfer src = COPY(p.handle), dst;
	struct bus1_cmd_transfer transfer = { .to = SELF, .n_transfers = 1, .ptr_src = BUS1_FROM_PTR(&src), .ptr_dst = BUS1_FROM_PTR(&dst) };
	struct bus1_cmd_transfer before = transfer;
	EXPECT(command(a, BUS1_CMD_TRANSFER, &transfer), 0);
	EXPECT(memcmp(&transfer, &before, sizeof transfer), 0);
}

/* ---- TRANSFER */

static void transfer_creates_and_copies_in_one_call(void)
{
	int a = peer_open(), b = peer_open();
	struct pair own = create(a, SELF);
	struct bus1_transfer src[] = { COPY(own.handle), CREATE, COPY(own.handle), CREATE }, dst[4];
	memset(dst, 0xff, sizeof dst);
	EXPECT(transfer_to(a, b, 4, src, dst), 0);
	EXPECT(src[0].id, own.handle);
	EXPECT(src[1].id, 5);
	EXPECT(src[2].id, own.handle);
	EXPECT(src[3].id, 7);
	for (int i = 0; i < 4; i++) {
		EXPECT(src[i].flags | dst[i].flags, 0);
		EXPECT(dst[i].id, 2 * i + 1);
	}
	EXPECT(post_to(b, "both", dst[0].id, dst[3].id), 0);
	EXPECT_POST(a, own.node, "both", 0);
	EXPECT_POST(a, src[3].id, "both", 0);
	EXPECT_EMPTY(b);
}

static void transfer_within_a_peer(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	EXPECT(copy(a, p.handle, SELF), 5);
	EXPECT(copy(a, p.handle, a), 7);
	EXPECT(drop(a, p.handle, 5), 0);
	EXPECT(post(a, 7, "still"), 0);
	EXPECT_POST(a, p.node, "still", 0);
}

static void transfer_errors(void)
{
	int a = peer_open(), b = peer_open(), null = open("/dev/null", O_RDONLY), path = open(device, O_PATH), sockets[2];
	struct bus1_transfer src = CREATE, dst;
	CHECK(null >= 0 && path >= 0 && pipe(sockets) == 0);
	EXPECT(transfer_to(a, 1000, 1, &src, &dst), -EBADF);
	EXPECT(transfer_to(a, -2, 1, &src, &dst), -EBADF);
	EXPECT(transfer_to(a, 0xffffffff, 1, &src, &dst), -EBADF);
	EXPECT(transfer_to(a, 1ULL << 32 | b, 1, &src, &dst), -EBADF);
	EXPECT(transfer_to(a, path, 1, &src, &dst), -EBADF);
	EXPECT(transfer_to(a, null, 1, &src, &dst), -EOPNOTSUPP);
	EXPECT(transfer_to(a, sockets[0], 1, &src, &dst), -EOPNOTSUPP);
	/* which comes before a look at the arrays */
	EXPECT(transfer_to(a, 1000, 1, (void *)BAD_POINTER, &dst), -EBADF);
	EXPECT(transfer_to(a, b, 1, (void *)BAD_POINTER, &dst), -EFAULT);
	for (int bit = 1; bit < 64; bit++) {
		src = (struct bus1_transfer){ 1ULL << bit, BUS1_INVALID };
		EXPECT(transfer_to(a, b, 1, &src, &dst), -EINVAL);
	}
	src = (struct bus1_transfer){ BUS1_TRANSFER_FLAG_CREATE, 0 };
	EXPECT(transfer_to(a, b, 1, &src, &dst), -EINVAL);
	/* not one of all these has made anything, or taken an id */
	struct pair p = create(a, SELF);
	EXPECT(p.node, 1);
	/* a node is no handle, and neither is what is not there */
	static const __u64 ids[] = { 0, 1, 2, 4, 5, 99, 1ULL << 32 | 3, 1ULL << 53 | 3, BUS1_INVALID };
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		src = COPY(ids[i]);
		EXPECT(transfer_to(a, b, 1, &src, &dst), -EBADRQC);
	}
	src = COPY(p.handle);
	EXPECT(transfer_to(a, b, 1, &src, (void *)BAD_POINTER), -EFAULT);
	EXPECT(transfer_to(a, b, 0, (void *)BAD_POINTER, (void *)BAD_POINTER), 0);
	EXPECT(transfer_to(a, b, -1, &src, &dst), -EDQUOT);
	EXPECT(create(b, SELF).node, 3); /* an id is lost: that of the handle which could not be told */
}

static void a_failed_transfer_leaves_nothing(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_transfer src[] = { CREATE, CREATE, COPY(77), CREATE }, dst[4];
	memset(dst, 0xff, sizeof dst);
	EXPECT(transfer_to(a, b, 4, src, dst), -EBADRQC);
	/* what was done before is told, and is not there */
	EXPECT(src[0].id, 1);
	EXPECT(src[1].id, 3);
	EXPECT(src[3].id, BUS1_INVALID);
	EXPECT(dst[0].id, 1);
	EXPECT(dst[1].id, 3);
	EXPECT(dst[2].id, BUS1_INVALID);
	EXPECT(drop(a, 1), -EBADRQC);
	EXPECT(drop(b, 1), -EBADRQC);
	EXPECT(post(b, 1, "x"), -EBADRQC);
	/* and the ids are spent */
	struct pair next = create(a, b);
	EXPECT(next.node, 5);
	EXPECT(next.handle, 5);
	EXPECT_EMPTY(a);
	EXPECT_EMPTY(b);
}

static void arrays_that_end_in_the_middle(void)
{
	int a = peer_open(), b = peer_open();
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pages != MAP_FAILED && mprotect(pages + 4096, 4096, PROT_NONE) == 0);
	struct bus1_transfer *end = (struct bus1_transfer *)(pages + 4096), dst[3];
	end[-2] = end[-1] = CREATE;
	EXPECT(transfer_to(a, b, 3, end - 2, dst), -EFAULT);
	EXPECT(end[-1].id, 3);
	/* what comes before the edge is looked at first */
	end[-1] = COPY(77);
	EXPECT(transfer_to(a, b, 2, end - 1, dst), -EBADRQC);
	struct pair p = create(a, SELF);
	__u64 *ids = (__u64 *)end;
	ids[-1] = p.handle;
	EXPECT(drop_ids(a, ids - 1, 2), -EFAULT);
	struct iovec none = { 0 };
	struct bus1_message message = { .n_data_vecs = 1, .ptr_data_vecs = BUS1_FROM_PTR(&none) };
	EXPECT(post_message(a, &message, ids - 1, 2, NULL), -EFAULT);
	ids[-1] = 77;
	EXPECT(drop_ids(a, ids - 1, 2), -EBADRQC);
	EXPECT(post_message(a, &message, ids - 1, 2, NULL), -EBADRQC);
	EXPECT_EMPTY(a);
	EXPECT(drop(a, p.node, p.handle), 0);
}

/* Memory that can only be read is no obstacle where nothing has to be written. */
static void a_source_that_can_only_be_read(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	struct bus1_transfer *src = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), dst[2];
	CHECK(src != MAP_FAILED);
	src[0] = src[1] = COPY(p.handle);
	CHECK(mprotect(src, 4096, PROT_READ) == 0);
	EXPECT(transfer_to(a, SELF, 2, src, dst), 0);
	CHECK(mprotect(src, 4096, PROT_READ | PROT_WRITE) == 0);
	src[1] = CREATE;
	CHECK(mprotect(src, 4096, PROT_READ) == 0);
	EXPECT(transfer_to(a, SELF, 2, src, dst), -EFAULT);
	/* one array for both: what is given is written last */
	struct bus1_transfer both = CREATE;
	EXPECT(transfer_to(a, SELF, 1, &both, &both), 0);
	EXPECT(post(a, both.id, "handle"), 0);
}

static void a_handle_to_a_node_that_is_gone(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct pair p = create(a, b), to_c = create(c, b);
	EXPECT(drop(a, p.node), 0);
	/* it can be used until b has heard of it */
	EXPECT(post(b, p.handle, "vanishes"), 0);
	__u64 late = copy(b, p.handle, c);
	EXPECT(poll_now(c), READABLE);
	EXPECT_NODE_RELEASE(c, late);
	EXPECT(drop(c, late), -EBADRQC);
	EXPECT(post_with(b, to_c.handle, "dead on arrival", p.handle), 0);
	EXPECT(post(b, to_c.handle, "next"), 0);
	late = EXPECT_POST(c, to_c.node, "dead on arrival", 1);
	EXPECT_NODE_RELEASE(c, late);
	EXPECT_POST(c, to_c.node, "next", 0);
	EXPECT_NODE_RELEASE(b, p.handle);
	EXPECT(post(b, p.handle, "x"), -EBADRQC);
	EXPECT(drop(b, p.handle), -EBADRQC);
	EXPECT_EMPTY(a);
	EXPECT_EMPTY(b);
	EXPECT_EMPTY(c);
}

/* ---- RELEASE */

static void release_of_a_node_is_told_per_handle(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct pair p = create(a, b);
	__u64 second = copy(b, p.handle, b), third = copy(b, p.handle, c), own = copy(b, p.handle, a);
	EXPECT(drop(a, p.node), 0);
	EXPECT(poll_now(b), READABLE);
	EXPECT_NODE_RELEASE(b, p.handle);
	EXPECT_NODE_RELEASE(b, second);
	EXPECT_NODE_RELEASE(c, third);
	EXPECT_NODE_RELEASE(a, own);
	EXPECT(drop(b, p.handle), -EBADRQC);
	EXPECT(drop(a, p.node), -EBADRQC);
	EXPECT_EMPTY(a);
	EXPECT_EMPTY(b);
	EXPECT_EMPTY(c);
}

static void only_the_last_handle_is_told(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct pair p = create(a, b);
	__u64 second = copy(b, p.handle, b), third = copy(b, p.handle, c);
	EXPECT(drop(b, p.handle), 0);
	EXPECT_EMPTY(a);
	EXPECT(post(b, second, "alive"), 0);
	EXPECT_POST(a, p.node, "alive", 0);
	EXPECT(drop(c, third), 0);
	EXPECT_EMPTY(a);
	EXPECT(drop(b, second), 0);
	EXPECT(poll_now(a), READABLE);
	EXPECT_HANDLE_RELEASE(a, p.node);
	EXPECT(drop(a, p.node), -EBADRQC);
	EXPECT_EMPTY(a);
}

static void a_queued_handle_counts(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct pair p = create(a, b), to_c = create(c, b);
	EXPECT(post_with(b, to_c.handle, "h", p.handle), 0);
	EXPECT(drop(b, p.handle), 0);
	EXPECT_EMPTY(a);
	__u64 received = EXPECT_POST(c, to_c.node, "h", 1);
	EXPECT_EMPTY(a);
	EXPECT(post(c, received, "through it"), 0);
	EXPECT_POST(a, p.node, "through it", 0);
	EXPECT(drop(c, received), 0);
	EXPECT_HANDLE_RELEASE(a, p.node);
}

static void a_dropped_message_drops_its_handles(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct pair p = create(a, b), q = create(a, b), to_c = create(c, b), other = create(c, b);
	EXPECT(post_with(b, to_c.handle, "h", p.handle, p.handle, q.handle), 0);
	EXPECT(post(b, other.handle, "stays"), 0);
	EXPECT(post_with(b, to_c.handle, "h", p.handle), 0);
	EXPECT(drop(b, p.handle, q.handle), 0);
	EXPECT_EMPTY(a);
	EXPECT(drop(c, to_c.node), 0);
	EXPECT_POST(c, other.node, "stays", 0);
	EXPECT_EMPTY(c);
	EXPECT_HANDLE_RELEASE(a, p.node);
	EXPECT_HANDLE_RELEASE(a, q.node);
	EXPECT_EMPTY(a);
	/* what is not received any more makes nobody readable */
	EXPECT(post(b, other.handle, "x"), 0);
	EXPECT(drop(c, other.node), 0);
	EXPECT_EMPTY(c);
}

static void close_tells_all(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct pair of_c = create(c, b), held = create(a, c), queued = create(a, b), both = create(a, b);
	EXPECT(copy(b, both.handle, c), 5);
	EXPECT(post_with(b, of_c.handle, "h", queued.handle, both.handle), 0);
	EXPECT(post(c, held.handle, "stays"), 0);
	EXPECT(drop(b, queued.handle, both.handle), 0);
	EXPECT_POST(a, held.node, "stays", 0);
	EXPECT(post(c, held.handle, "outlives its sender"), 0);
	EXPECT_POST(a, held.node, "outlives its sender", 0);
	EXPECT(post(c, held.handle, "outlives its sender"), 0);
	close(c);
	EXPECT_NODE_RELEASE(b, of_c.handle);
	EXPECT_EMPTY(b);
	EXPECT_POST(a, held.node, "outlives its sender", 0);
	/* first what was queued there, then what was held: of what was both, only the end of the last is told */
	EXPECT_HANDLE_RELEASE(a, queued.node);
	EXPECT_HANDLE_RELEASE(a, held.node);
	EXPECT_HANDLE_RELEASE(a, both.node);
	EXPECT_EMPTY(a);
}

static void both_ends_in_one_call_are_silent(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	EXPECT(drop(a, p.node, p.handle), 0);
	EXPECT_EMPTY(a);
	p = create(a, SELF);
	EXPECT(drop(a, p.handle, p.node), 0);
	EXPECT_EMPTY(a);
	/* one after the other is not, until the other is gone too */
	p = create(a, SELF);
	EXPECT(drop(a, p.handle), 0);
	EXPECT(poll_now(a), READABLE);
	EXPECT(drop(a, p.node), 0);
	EXPECT_EMPTY(a);
	p = create(a, SELF);
	EXPECT(drop(a, p.node), 0);
	EXPECT(poll_now(a), READABLE);
	EXPECT(drop(a, p.handle), 0);
	EXPECT_EMPTY(a);
	/* an own handle that was not named is told */
	p = create(a, SELF);
	__u64 more = copy(a, p.handle, SELF);
	EXPECT(drop(a, p.node, p.handle), 0);
	EXPECT_NODE_RELEASE(a, more);
	EXPECT_EMPTY(a);
}

static void release_is_all_or_nothing(void)
{
	int a = peer_open(), b = peer_open();
	struct pair p = create(a, b), q = create(a, b);
	EXPECT(drop(a, p.node, q.node, 99), -EBADRQC);
	EXPECT(drop(b, p.handle, q.handle, 99), -EBADRQC);
	EXPECT(drop_ids(b, (void *)BAD_POINTER, 1), -EFAULT);
	EXPECT(drop_ids(b, (void *)BAD_POINTER, 0), 0);
	EXPECT(drop_ids(b, &p.handle, -1), -EINVAL);
	EXPECT_EMPTY(a);
	EXPECT_EMPTY(b);
	EXPECT(post_to(b, "x", p.handle, q.handle), 0);
	EXPECT_POST(a, p.node, "x", 0);
	EXPECT_POST(a, q.node, "x", 0);
	/* twice is once */
	EXPECT(drop(b, p.handle, q.handle, p.handle), 0);
	EXPECT_HANDLE_RELEASE(a, p.node);
	EXPECT_HANDLE_RELEASE(a, q.node);
	EXPECT_EMPTY(a);
	p = create(a, b);
	EXPECT(drop(a, p.node, p.node), 0);
	EXPECT_NODE_RELEASE(b, p.handle);
	EXPECT_EMPTY(b);
}

/* ---- SEND and RECV */

static void handles_travel_on(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct pair to_b = create(b, a), to_c = create(c, b), own = create(a, SELF);
	EXPECT(post_with(a, to_b.handle, "one", own.handle), 0);
	__u64 at_b = EXPECT_POST(b, to_b.node, "one", 1);
	EXPECT(post_with(b, to_c.handle, "two", at_b), 0);
	__u64 at_c = EXPECT_POST(c, to_c.node, "two", 1);
	EXPECT(post(c, at_c, "three"), 0);
	EXPECT_POST(a, own.node, "three", 0);
	/* what was carried stays with its sender */
	EXPECT(post(b, at_b, "four"), 0);
	EXPECT_POST(a, own.node, "four", 0);
	/* the same again is another one */
	EXPECT(post_with(b, to_c.handle, "two", at_b, at_b), 0);
	struct received r;
	EXPECT(take(c, &r), 0);
	EXPECT(r.transfers[0].id != at_c && r.transfers[1].id != at_c && r.transfers[0].id != r.transfers[1].id, 1);
	EXPECT(drop(c, at_c, r.transfers[0].id), 0);
	EXPECT(post(c, r.transfers[1].id, "five"), 0);
	EXPECT_POST(a, own.node, "five", 0);
	/* also at home */
	EXPECT(post_with(b, at_b, "home", at_b), 0);
	__u64 home = EXPECT_POST(a, own.node, "home", 1);
	EXPECT(post(a, home, "six"), 0);
	EXPECT_POST(a, own.node, "six", 0);
}

static void a_node_is_no_destination(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	EXPECT(post(a, p.node, "x"), -EBADRQC);
	EXPECT(post_with(a, p.handle, "x", p.node), -EBADRQC);
	EXPECT(post(a, 99, "x"), -EBADRQC);
	EXPECT(post_with(a, p.handle, "x", 99), -EBADRQC);
	EXPECT_EMPTY(a);
}

static void multicast_is_atomic(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct pair to_b = create(b, a), more = create(b, a), to_c = create(c, a), own = create(a, SELF), carried = create(a, SELF);
	int32_t errors[5];
	__u64 destinations[] = { to_b.handle, own.handle, to_c.handle, 99 };
	struct iovec vec = { "x", 1 };
	struct bus1_message message = { .n_data = 1, .n_data_vecs = 1, .ptr_data_vecs = BUS1_FROM_PTR(&vec) };
	memset(errors, 0xff, sizeof errors);
	EXPECT(post_message(a, &message, destinations, 4, errors), -EBADRQC);
	EXPECT(errors[3], -1);
	EXPECT_EMPTY(a);
	EXPECT_EMPTY(b);
	EXPECT_EMPTY(c);
	EXPECT(post_message(a, &message, destinations, 3, errors), 0);
	for (int i = 0; i < 3; i++) EXPECT(errors[i], 0);
	EXPECT(errors[3], -1);
	EXPECT_POST(b, to_b.node, "x", 0);
	EXPECT_POST(a, own.node, "x", 0);
	EXPECT_POST(c, to_c.node, "x", 0);
	/* one destination, one node and one peer as often as one likes, in the order of the array; each with handles of its own */
	__u64 twice = copy(a, to_b.handle, SELF);
	EXPECT(post_all(a, "m", ARRAY(carried.handle), ARRAY(to_b.handle, more.handle, twice, to_b.handle, to_c.handle)), 0);
	__u64 handles[4] = {
		EXPECT_POST(b, to_b.node, "m", 1),
		EXPECT_POST(b, more.node, "m", 1),
		EXPECT_POST(b, to_b.node, "m", 1),
		EXPECT_POST(b, to_b.node, "m", 1),
	};
	for (int i = 1; i < 4; i++) EXPECT(handles[i], handles[i - 1] + 2);
	EXPECT_POST(c, to_c.node, "m", 1);
	EXPECT_EMPTY(b);
	/* a node that is gone takes none of the others along */
	EXPECT(drop(b, more.node), 0);
	EXPECT(post_to(a, "m", to_b.handle, more.handle, to_c.handle), 0);
	EXPECT_POST(b, to_b.node, "m", 0);
	EXPECT_POST(c, to_c.node, "m", 0);
	EXPECT_NODE_RELEASE(a, more.handle);
}

static void payloads(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	enum {
		N = 1024,
		SIZE = 3 * N,
	};
	static struct iovec out[N + 1], in[N + 1];
	static char sent[SIZE], got[2 * SIZE];
	struct bus1_metadata metadata;
	for (int i = 0; i < SIZE; i++) sent[i] = i * 7;
	for (int i = 0; i < N; i++) {
		out[i] = (struct iovec){ sent + i * 3, 3 };
		in[i] = (struct iovec){ got + i * 6, 6 };
	}
	out[N] = in[N] = (struct iovec){ 0 };
	for (int n = 0; n <= N; n = n ? n * 2 : 1) {
		struct bus1_message m = { .n_data = 3 * n, .n_data_vecs = n, .ptr_data_vecs = BUS1_FROM_PTR(out) };
		EXPECT(post_message(a, &m, &p.handle, 1, NULL), 0);
		memset(got, 0, sizeof got);
		struct bus1_message r = { .type = BUS1_INVALID, .n_data = 6 * n, .n_data_vecs = n, .ptr_data_vecs = BUS1_FROM_PTR(in) };
		EXPECT(take_message(a, &metadata, &r), 0);
		EXPECT(r.n_data, 3 * n);
		EXPECT(r.n_data_vecs, n);
		EXPECT(r.ptr_data_vecs, BUS1_FROM_PTR(in));
		EXPECT(memcmp(got, sent, 3 * n), 0);
		for (int i = 3 * n; i < 2 * SIZE; i++) CHECK(got[i] == 0);
	}
	/* only the first n_data bytes are the message */
	struct bus1_message m = { .n_data = 4, .n_data_vecs = N, .ptr_data_vecs = BUS1_FROM_PTR(out) };
	EXPECT(post_message(a, &m, &p.handle, 1, NULL), 0);
	struct received r;
	EXPECT(take(a, &r), 0);
	EXPECT(r.message.n_data, 4);
	EXPECT(memcmp(r.text, sent, 4), 0);
	CHECK((unsigned char)r.text[4] == 0xa5);
}

static void vectors_of_send(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	char byte = 'x';
	static struct iovec vecs[1025];
	struct bus1_message m = { .n_data = 1, .n_data_vecs = 1, .ptr_data_vecs = BUS1_FROM_PTR(vecs) };
#define POST() post_message(a, &m, &p.handle, 1, NULL)
	vecs[0] = (struct iovec){ &byte, 0 };
	EXPECT(POST(), -EMSGSIZE);
	vecs[0] = (struct iovec){ &byte, -1 };
	EXPECT(POST(), -EINVAL);
	vecs[0] = (struct iovec){ (void *)BAD_POINTER, 1 };
	EXPECT(POST(), -EFAULT);
#ifdef __LP64__
	vecs[0] = (struct iovec){ (void *)0x7ffffffff000, 1 };
	EXPECT(POST(), -EFAULT);
	/* a length comes before a place */
	m.n_data_vecs = 2;
	vecs[1] = (struct iovec){ &byte, -1 };
	EXPECT(POST(), -EINVAL);
	m.n_data_vecs = 1;
#endif
	vecs[0] = (struct iovec){ &byte, 1 };
	vecs[1] = (struct iovec){ 0 };
	m.n_data_vecs = 1025;
	EXPECT(POST(), -EINVAL);
	m.n_data_vecs = 1ULL << 32;
	EXPECT(POST(), -EFAULT);
	m.n_data = 0x7ffff001;
	EXPECT(POST(), -EFAULT);
	m.n_data_vecs = 1;
	EXPECT(POST(), -EMSGSIZE);
	m.n_data = 0x7ffff000;
	EXPECT(POST(), -EDQUOT);
	m.n_data = 1;
	m.n_transfers = -1;
	EXPECT(POST(), -EDQUOT);
	m.n_transfers = 0;
	m.ptr_data_vecs = BAD_POINTER;
	EXPECT(POST(), -EFAULT);
	/* vectors are looked at even where they are not needed */
	m.n_data = 0;
	EXPECT(POST(), -EFAULT);
	m.n_data_vecs = 0;
	EXPECT(POST(), 0);
	EXPECT_POST(a, p.node, "", 0);
	EXPECT_EMPTY(a);
}

static void errors_of_send_in_order(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	struct bus1_transfer transfers[2] = { COPY(p.handle), COPY(p.handle) };
	struct iovec vec = { "x", 1 }, bad = { (void *)BAD_POINTER, 1 };
	const struct bus1_message good = {
		.n_data = 1,
		.n_data_vecs = 1,
		.ptr_data_vecs = BUS1_FROM_PTR(&vec),
		.n_transfers = 2,
		.ptr_transfers = BUS1_FROM_PTR(transfers),
	};
	struct bus1_message m = good;
	EXPECT(post_message(a, NULL, &p.handle, 1, NULL), -EFAULT);
	EXPECT(post_message(a, (void *)BAD_POINTER, &p.handle, 1, NULL), -EFAULT);
	for (int bit = 0; bit < 64; bit++) {
		m.flags = 1ULL << bit;
		EXPECT(post_message(a, &m, &p.handle, 1, NULL), -EINVAL);
		m = good;
		m.type = 1ULL << bit;
		EXPECT(post_message(a, &m, &p.handle, 1, NULL), -EINVAL);
		m = good;
	}
	/* each comes before all that are set right below it */
	int32_t *errors = (void *)BAD_POINTER;
	__u64 destinations[2] = { 99, 99 };
	transfers[1] = (struct bus1_transfer){ BUS1_TRANSFER_FLAG_CREATE, BUS1_INVALID };
	m.ptr_data_vecs = BUS1_FROM_PTR(&bad);
	EXPECT(post_message(a, &m, destinations, 2, errors), -EFAULT);
	m.ptr_data_vecs = BUS1_FROM_PTR(&vec);
	EXPECT(post_message(a, &m, destinations, 2, errors), -EINVAL);
	transfers[1] = COPY(99);
	EXPECT(post_message(a, &m, destinations, 2, errors), -EBADRQC);
	m.ptr_transfers = BAD_POINTER;
	EXPECT(post_message(a, &m, destinations, 2, errors), -EFAULT);
	m.ptr_transfers = BUS1_FROM_PTR(transfers);
	transfers[1] = COPY(p.handle);
	EXPECT(post_message(a, &m, destinations, 2, errors), -EBADRQC);
	destinations[0] = p.handle;
	EXPECT(post_message(a, &m, destinations, 2, errors), -EFAULT);
	EXPECT(post_message(a, &m, (void *)BAD_POINTER, 1, NULL), -EFAULT);
	EXPECT(post_message(a, &m, destinations, -1, NULL), -EDQUOT);
	/* without a destination, all is looked at but there is nobody to get it */
	EXPECT(post_message(a, &m, (void *)BAD_POINTER, 0, errors), 0);
	m.ptr_data_vecs = BUS1_FROM_PTR(&bad);
	EXPECT(post_message(a, &m, NULL, 0, NULL), -EFAULT);
	EXPECT_EMPTY(a);
}

static void receive_needs_room(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	struct bus1_metadata metadata;
	struct bus1_transfer transfers[4];
	char text[16];
	struct iovec vec = { text, sizeof text };
	const struct bus1_message room = {
		.type = BUS1_INVALID,
		.n_transfers = 4,
		.ptr_transfers = BUS1_FROM_PTR(transfers),
		.n_data = sizeof text,
		.n_data_vecs = 1,
		.ptr_data_vecs = BUS1_FROM_PTR(&vec),
	};
	EXPECT(post_with(a, p.handle, "payload", p.handle, p.handle), 0);
	EXPECT(post(a, p.handle, "next"), 0);
	for (int i = 0; i < 4; i++) {
		struct bus1_message m = room;
		memset(transfers, 0xff, sizeof transfers);
		if (i == 0) m.n_transfers = 1;
		if (i == 1) m.n_data = 6;
		if (i == 2) m.n_transfers = m.n_data = 0, m.ptr_transfers = m.n_data_vecs = 0;
		if (i == 3) m.n_data = 17; /* more than the vectors have */
		EXPECT(take_message(a, &metadata, &m), -EMSGSIZE);
		EXPECT(m.n_transfers, 2);
		EXPECT(m.n_data, 7);
		EXPECT(m.type, BUS1_INVALID);
		EXPECT(m.flags, 0);
		EXPECT(transfers[2].id, BUS1_INVALID);
		EXPECT(poll_now(a), READABLE);
	}
	struct bus1_message m = room;
	m.n_transfers = 2, m.n_data = 7, vec.iov_len = 7;
	memset(transfers, 0xff, sizeof transfers);
	EXPECT(take_message(a, &metadata, &m), 0);
	EXPECT(metadata.id, p.node);
	EXPECT(transfers[0].id, 5); /* no id was taken by what failed */
	EXPECT(transfers[1].id, 7);
	EXPECT(transfers[2].id, BUS1_INVALID);
	EXPECT(memcmp(text, "payload", 7), 0);
	EXPECT_POST(a, p.node, "next", 0);
	/* a notification needs no room */
	EXPECT(drop(a, p.node), 0);
	m = (struct bus1_message){ .type = BUS1_INVALID, .n_data = 5, .n_data_vecs = 1 };
	EXPECT(take_message(a, &metadata, &m), 0);
	EXPECT(m.type, BUS1_MESSAGE_TYPE_NODE_RELEASE);
	EXPECT(m.n_data, 0);
	EXPECT(m.n_data_vecs, 1);
}

static void a_receive_that_fails_takes_nothing(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	struct bus1_metadata metadata;
	struct bus1_transfer transfers[2];
	char text[16];
	struct iovec vec = { text, sizeof text }, bad = { (void *)BAD_POINTER, sizeof text };
	struct iovec negative = { text, -1 };
	const struct bus1_message room = {
		.type = BUS1_INVALID,
		.n_transfers = 2,
		.ptr_transfers = BUS1_FROM_PTR(transfers),
		.n_data = sizeof text,
		.n_data_vecs = 1,
		.ptr_data_vecs = BUS1_FROM_PTR(&vec),
	};
	struct bus1_message m = room;
	EXPECT(take_message(a, &metadata, NULL), -EFAULT);
	EXPECT(take_message(a, NULL, &m), -EAGAIN);
	m.type = BUS1_MESSAGE_TYPE_USER;
	EXPECT(take_message(a, &metadata, &m), -EINVAL);
	m.type = BUS1_INVALID - 1;
	EXPECT(take_message(a, &metadata, &m), -EINVAL);
	m.type = BUS1_INVALID, m.flags = 1;
	EXPECT(take_message(a, &metadata, &m), -EINVAL);
	m.flags = 1ULL << 63;
	EXPECT(take_message(a, &metadata, &m), -EINVAL);
	EXPECT(post_with(a, p.handle, "payload", p.handle), 0);
	EXPECT(take_message(a, &metadata, &m), -EINVAL);
	m = room, m.ptr_transfers = BAD_POINTER;
	EXPECT(take_message(a, &metadata, &m), -EFAULT);
	m = room, m.ptr_data_vecs = BAD_POINTER;
	EXPECT(take_message(a, &metadata, &m), -EFAULT);
	m = room, m.n_data_vecs = 1025;
	EXPECT(take_message(a, &metadata, &m), -EINVAL);
	m = room, m.ptr_data_vecs = BUS1_FROM_PTR(&negative);
	EXPECT(take_message(a, &metadata, &m), -EINVAL);
	m = room, m.ptr_data_vecs = BUS1_FROM_PTR(&bad);
	EXPECT(take_message(a, &metadata, &m), -EFAULT);
	m = room;
	EXPECT(take_message(a, NULL, &m), -EFAULT);
	EXPECT(take_message(a, (void *)BAD_POINTER, &m), -EFAULT);
	EXPECT(m.type, BUS1_INVALID);
	/* a message that can only be read */
	struct bus1_message *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED);
	*page = room;
	CHECK(mprotect(page, 4096, PROT_READ) == 0);
	EXPECT(take_message(a, &metadata, page), -EFAULT);
	CHECK(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
	page->n_data = 0;
	CHECK(mprotect(page, 4096, PROT_READ) == 0);
	EXPECT(take_message(a, &metadata, page), -EFAULT);
	EXPECT(poll_now(a), READABLE);
	EXPECT(EXPECT_POST(a, p.node, "payload", 1), 5);
	EXPECT_EMPTY(a);
	/* also of a notification, whose id is still there */
	EXPECT(drop(a, 3, 5), 0);
	m = room;
	EXPECT(take_message(a, NULL, &m), -EFAULT);
	EXPECT_HANDLE_RELEASE(a, p.node);
}

static void receive_returns_0(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	struct received r;
	EXPECT(post(a, p.handle, "x"), 0);
	EXPECT(take(a, &r), 0);
	EXPECT(r.message.ptr_transfers, BUS1_FROM_PTR(r.transfers));
	EXPECT(r.message.n_data_vecs, 1);
}

/* Within one transaction: messages, then NODE_RELEASE, then HANDLE_RELEASE. And all in the order in which it happened. */
static void order(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open();
	struct pair held = create(c, a), own = create(a, c), to_b = create(b, a);
	EXPECT(post(c, own.handle, "before"), 0);
	/* c ends its node, to which a has a handle, and its handle to the node of a: named the other way round */
	EXPECT(drop(c, own.handle, held.node), 0);
	struct pair later = create(a, b);
	EXPECT(post(b, later.handle, "after"), 0);
	EXPECT_POST(a, own.node, "before", 0);
	EXPECT_NODE_RELEASE(a, held.handle);
	EXPECT_HANDLE_RELEASE(a, own.node);
	EXPECT_POST(a, later.node, "after", 0);
	/* the node behind a carried handle goes while the message waits: the message first */
	struct pair carried = create(a, SELF);
	EXPECT(post_with(a, to_b.handle, "one", carried.handle), 0);
	EXPECT(post(a, to_b.handle, "two"), 0);
	EXPECT(drop(a, carried.node, carried.handle), 0);
	EXPECT(post(a, to_b.handle, "three"), 0);
	__u64 late = EXPECT_POST(b, to_b.node, "one", 1);
	EXPECT_POST(b, to_b.node, "two", 0);
	EXPECT_NODE_RELEASE(b, late);
	EXPECT_POST(b, to_b.node, "three", 0);
	EXPECT_EMPTY(b);
}

MAIN(CASE(ids_are_odd_and_counted), CASE(unknown_commands), CASE(arguments), CASE(transfer_creates_and_copies_in_one_call),
     CASE(transfer_within_a_peer), CASE(transfer_errors), CASE(a_failed_transfer_leaves_nothing),
     CASE(arrays_that_end_in_the_middle), CASE(a_source_that_can_only_be_read), CASE(a_handle_to_a_node_that_is_gone),
     CASE(release_of_a_node_is_told_per_handle), CASE(only_the_last_handle_is_told), CASE(a_queued_handle_counts),
     CASE(a_dropped_message_drops_its_handles), CASE(close_tells_all), CASE(both_ends_in_one_call_are_silent),
     CASE(release_is_all_or_nothing), CASE(handles_travel_on), CASE(a_node_is_no_destination), CASE(multicast_is_atomic),
     CASE(payloads), CASE(vectors_of_send), CASE(errors_of_send_in_order), CASE(receive_needs_room),
     CASE(a_receive_that_fails_takes_nothing), CASE(receive_returns_0), CASE(order))
