/* As much of everything as one user can get, and what there is then for others. */
#include "attack.h"
#include <sys/epoll.h>

static int peer;

static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* Peers until there are no more. */
static void peers(void)
{
	volatile int *done = shared_count();
	for (int i = 0; i < 5; i++) {
		if (fork() > 0) continue;
		become(ATTACKER);
		raise_descriptor_limit();
		while (open(device, O_RDWR | O_CLOEXEC) >= 0) continue;
		__atomic_add_fetch(done, 1, __ATOMIC_RELAXED);
		pause();
	}
	await_count(done, 5, 5000);
	setfsuid(OTHER);
	for (int i = 0; i < 10; i++) close(peer_open());
}

#define MESSAGE_SIZE (15 << 20)

/* Messages that are received and not released, without end. */
static void held_bytes(void)
{
	become(ATTACKER);
	char *payload = mmap(NULL, MESSAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	CHECK(payload != MAP_FAILED);
	for (int i = 0; i < 6; i++) {
		int fd = peer_open();
		struct bus1_cmd_recv recv;
		struct message message = { .destinations = (__u64[]){ 8 }, .n_destinations = 1, .payload = payload, .size = MESSAGE_SIZE };
		for (int j = 0; j < 16; j++) {
			int r = send_message(fd, &message);
			if (r == -EDQUOT) return;
			EXPECT(r, 0);
			EXPECT(recv_message(fd, &recv), 0);
		}
	}
	CHECK(!"the daemon limits what one user holds");
}

/* All the slices, and all the handles, that messages to one service may take. */
static void a_service(void)
{
	int service = peer_of(VICTIM), second = peer_of(VICTIM), other = peer_of(OTHER);
	peer = peer_of(ATTACKER);
	__u64 to_service = give(service, 8, peer), to_second = give(second, 8, other);
	__u64 handles[4096], own = 16;
	for (int i = 0; i < 4096; i++) handles[i] = own;
	pid_t child = fork();
	if (child == 0) {
		become(ATTACKER);
		for (int i = 0; i < 20; i++) send_handles(peer, to_service, handles, 4096);
		while (send_text(peer, to_service, "") == 0) continue;
		_exit(0);
	}
	join(child);
	EXPECT(send_text(other, to_second, "another's"), 0);
	EXPECT(send_handles(other, to_second, handles, 1), 0);
}

#define MANY_IDS 65000
static __u64 ids[65536];

static void *destroy_many(void *unused)
{
	int fd = peer_open();
	for (;;) destroy(fd, 0, ids, MANY_IDS);
	return unused;
}

/* Calls with as many ids as one may have, all of which fail in the end. */
static void many_ids(void)
{
	become(ATTACKER);
	for (int i = 0; i < MANY_IDS; i++) ids[i] = (i + 1) * 8;
	ids[MANY_IDS - 1] = UNKNOWN_ID;
	for (int i = 0; i < 16; i++) start(destroy_many, NULL);
	sleep_ms(ATTACK_MS);
}

#define MANY_NODES 200000

static void *make_many_nodes(void *unused)
{
	__u64(*entries)[2] = malloc(2 * MANY_NODES * sizeof *entries);
	struct transfer_2026 transfer = { 0, -1, MANY_NODES, (uintptr_t)entries, (uintptr_t)(entries + MANY_NODES) };
	for (int i = 0; i < MANY_NODES; i++) entries[i][0] = 1, entries[i][1] = -1;
	command(peer_open(), TRANSFER_2026, &transfer);
	return unused;
}

/* Calls that make as many nodes and handles as one may have. */
static void many_nodes(void)
{
	pthread_t threads[4];
	become(ATTACKER);
	for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, make_many_nodes, NULL) == 0);
	for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

/* How long it takes to make nodes with ids that are so far apart, and to end them, in ms. */
static long long nodes_of_stride(__u64 stride)
{
	long long begun = own_clock();
	for (int i = 0; i < 4000; i++) ids[i] = (i + 1) * stride;
	EXPECT(destroy(peer, BUS1_NODES_DESTROY_FLAG_RELEASE_HANDLES, ids, 4000), 0);
	return own_clock() - begun;
}

/* Ids that a simple hash function would put in one place are as good as others. */
static void colliding_ids(void)
{
	become(ATTACKER);
	peer = peer_open();
	nodes_of_stride(8);
	long long ordinary = nodes_of_stride(8);
	for (int shift = 16; shift < 48; shift += 8) {
		long long took = nodes_of_stride(1ULL << shift);
		if (took > 20 * ordinary + 300) printf("ids 1 << %d apart take %lld ms, others %lld\n", shift, took, ordinary), exit(1);
	}
}

#define WAITERS 40000

/* Wake-ups go to each who waits, in the time of whoever wakes. */
static void many_waiters(void)
{
	become(ATTACKER);
	raise_descriptor_limit();
	peer = peer_open();
	int copies[200], epoll = -1;
	for (int i = 0; i < 200; i++) CHECK((copies[i] = dup(peer)) >= 0);
	for (int i = 0; i < WAITERS; i++) {
		if (i % 200 == 0) CHECK((epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0);
		CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, copies[i % 200], &(struct epoll_event){ .events = EPOLLIN }) == 0);
	}
	long long best = 1000;
	for (int i = 0; i < 10; i++) {
		struct bus1_cmd_recv recv;
		poll_now(peer);
		struct timespec begun, ended;
		clock_gettime(CLOCK_MONOTONIC, &begun);
		EXPECT(send_text(peer, 8, ""), 0);
		clock_gettime(CLOCK_MONOTONIC, &ended);
		long long took = (ended.tv_sec - begun.tv_sec) * 1000000LL + (ended.tv_nsec - begun.tv_nsec) / 1000;
		if (took < best) best = took;
		EXPECT(recv_message(peer, &recv), 0);
		EXPECT(slice_release(peer, recv.msg.offset), 0);
	}
	CHECK(best < 1000);
}

/* In as many groups as users of some directory services are. */
static void many_groups(void)
{
	gid_t groups[3000];
	for (int i = 0; i < 3000; i++) groups[i] = 1200000000 + i;
	CHECK(setgroups(3000, groups) == 0 && setresuid(ATTACKER, ATTACKER, ATTACKER) == 0);
	int fd = peer_open();
	EXPECT(send_text(fd, 8, "from one of many groups"), 0);
}

static void *look(void *flags)
{
	while (open(device, (uintptr_t)flags | O_CLOEXEC) >= 0) continue;
	return NULL;
}

/* Descriptors that only name the device. */
static void names(void)
{
	become(ATTACKER);
	raise_descriptor_limit();
	for (int i = 0; i < 4; i++) start(look, (void *)(uintptr_t)O_PATH);
	sleep_ms(ATTACK_MS);
}

MAIN(CASE(peers), CASE(held_bytes), CASE(a_service), CASE(many_ids), CASE(many_nodes), CASE(colliding_ids), CASE(many_waiters), CASE(many_groups),
     CASE(names))
