/*
 * What one user may take, and that others have theirs meanwhile. Each case needs a daemon with the limits that limits.test.ts
 * gives it.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include "bus1-test.h"

enum { OFFENDER = 4321,
       BYSTANDER,
       THIRD,
       FOURTH };

/* Runs `take` as a user, in a process that keeps what it took until drop(). */
static pid_t keep(uid_t uid, void (*take)(void))
{
	int ready[2];
	char byte = 0;
	CHECK(pipe2(ready, O_CLOEXEC) == 0);
	pid_t child = fork();
	if (child == 0) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		CHECK(setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0);
		take();
		CHECK(write(ready[1], &byte, 1) == 1);
		for (;;) pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) exit(1);
	close(ready[0]);
	return child;
}

static void drop(pid_t child)
{
	CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
}

static void once(uid_t uid, void (*take)(void))
{
	drop(keep(uid, take));
}

/* ---- --max-peers 20 */

enum { PEERS = 20 };

static void twenty_peers_and_no_more(void)
{
	int fds[PEERS];
	for (int i = 0; i < PEERS; i++) fds[i] = peer_open();
	for (int i = 0; i < 3; i++) EXPECT(result(open(device, O_RDWR | O_CLOEXEC)), -EMFILE);
	/* what is there works as ever, and one that is closed makes room for one */
	EXPECT(send_text(fds[0], 8, "x"), 0);
	CHECK(close(fds[1]) == 0);
	fds[1] = peer_open();
	EXPECT(result(open(device, O_RDWR | O_CLOEXEC)), -EMFILE);
}

static void peers_of_a_user(void)
{
	pid_t offender = keep(OFFENDER, twenty_peers_and_no_more);
	once(BYSTANDER, twenty_peers_and_no_more);
	drop(offender);
	once(OFFENDER, twenty_peers_and_no_more);
}

/* ---- vm.max_map_count = 400, of which 300 are for peers */

static int count_peers(void)
{
	for (int n = 0;; n++) {
		int fd = result(open(device, O_RDWR | O_CLOEXEC));
		if (fd >= 0) continue;
		EXPECT(fd, -EMFILE);
		return n;
	}
}

static void half_of_all_peers(void)
{
	EXPECT(count_peers(), 150);
}

static void a_quarter_of_all_peers(void)
{
	EXPECT(count_peers(), 75);
}

static void an_eighth_of_all_peers(void)
{
	EXPECT(count_peers(), 37);
}

static void peers_of_all_users(void)
{
	pid_t offender = keep(OFFENDER, half_of_all_peers);
	pid_t other = keep(BYSTANDER, a_quarter_of_all_peers);
	once(THIRD, an_eighth_of_all_peers);
	drop(offender);
	drop(other);
	once(THIRD, half_of_all_peers);
}

/* ---- --max-held-bytes 1 MiB, and --max-total-held-bytes 4 MiB */

enum { CHUNK = 64 << 10 };

static int send_chunk(int peer, __u64 destination)
{
	static const char payload[CHUNK];
	return send_message(peer, &(struct message){ .destinations = &destination, .n_destinations = 1, .payload = payload, .size = CHUNK });
}

/* Receives what it sends itself and releases nothing. Returns how much it got until SEND failed with EDQUOT. */
static int hoard(int peer)
{
	struct bus1_cmd_recv recv;
	for (int n = 0;; n++) {
		int r = send_chunk(peer, 8);
		if (r < 0) {
			EXPECT(r, -EDQUOT);
			return n;
		}
		EXPECT(recv_message(peer, &recv), 0);
		EXPECT(recv.msg.offset, n * CHUNK);
	}
}

static void sixteen_chunks_in_all_its_peers(void)
{
	int a = peer_open(), b = peer_open();
	EXPECT(hoard(a), 16);
	EXPECT(send_text(b, 8, "x"), -EDQUOT);
	EXPECT(slice_release(a, 3 * CHUNK), 0);
	EXPECT(send_chunk(b, 8), 0);
	EXPECT(send_text(b, 8, "x"), -EDQUOT);
	CHECK(close(a) == 0);
	for (int i = 0; i < 15; i++) EXPECT(send_chunk(b, 8), 0);
	EXPECT(send_text(b, 8, "x"), -EDQUOT);
}

static void held_bytes_of_a_user(void)
{
	pid_t offender = keep(OFFENDER, sixteen_chunks_in_all_its_peers);
	once(BYSTANDER, sixteen_chunks_in_all_its_peers);
	drop(offender);
	once(OFFENDER, sixteen_chunks_in_all_its_peers);
}

static void half_of_all_bytes(void)
{
	EXPECT(hoard(peer_open()), 32);
}

static void a_quarter_of_all_bytes(void)
{
	EXPECT(hoard(peer_open()), 16);
}

static void an_eighth_of_all_bytes(void)
{
	EXPECT(hoard(peer_open()), 8);
}

static void held_bytes_of_all_users(void)
{
	pid_t offender = keep(OFFENDER, half_of_all_bytes);
	pid_t other = keep(BYSTANDER, a_quarter_of_all_bytes);
	once(THIRD, an_eighth_of_all_bytes);
	drop(offender);
	drop(other);
	once(THIRD, half_of_all_bytes);
}

/* ---- in a control group whose memory is less than what would be taken */

/* In many peers, in small pieces too, and mapped. */
static void all_that_it_can_get(void)
{
	static const char payload[12 << 10];
	struct message piece = { .destinations = &(__u64){ 8 }, .n_destinations = 1, .payload = payload };
	struct bus1_cmd_recv recv;
	for (int i = 0; i < 50; i++) {
		int peer = peer_open();
		__u64 fillers[20];
		pool(peer);
		/* what is kept here lies between pages that are not */
		for (int n = 0; n < 20; n++) {
			for (piece.size = 8; piece.size <= sizeof payload; piece.size += sizeof payload - 8) {
				if (send_message(peer, &piece) == 0) EXPECT(recv_message(peer, &recv), 0);
			}
			fillers[n] = recv.msg.offset;
		}
		for (int n = 0; n < 20; n++) slice_release(peer, fillers[n]);
		for (int n = 0; send_chunk(peer, 8) == 0; n++) {
			CHECK(n < (int)(POOL_SIZE / CHUNK));
			EXPECT(recv_message(peer, &recv), 0);
		}
	}
	EXPECT(send_chunk(peer_open(), 8), -EDQUOT);
}

static void goes_on(void)
{
	int a = peer_open();
	for (int i = 0; i < 1000; i++) {
		EXPECT(send_text(a, 8, "text"), 0);
		EXPECT_TEXT(a, 8, "text");
	}
}

static void nobody_has_the_memory_of_the_daemon(void)
{
	once(BYSTANDER, goes_on);
	pid_t offender = keep(OFFENDER, all_that_it_can_get);
	once(BYSTANDER, goes_on);
	pid_t another = keep(THIRD, all_that_it_can_get);
	once(BYSTANDER, goes_on);
	drop(offender);
	drop(another);
}

/* A client may keep its pool mapped: what nobody has to hold any more is given back all the same. */
static void memory_of_a_closed_peer_is_given_back(void)
{
	int a = peer_open();
	struct bus1_cmd_recv recv;
	const volatile uint8_t *map = pool(a);
	EXPECT(send_text(a, 8, "kept"), 0);
	EXPECT(recv_message(a, &recv), 0);
	EXPECT(map[recv.msg.offset], 'k');
	CHECK(close(a) == 0);
	/* the close is handled before whatever is asked later */
	CHECK(close(peer_open()) == 0);
	EXPECT(map[recv.msg.offset], 0);
}

/* ---- --max-slices 64, --max-handles 1024 */

static int service;

/* To whom the service has given its node, this sends so many messages until it is EDQUOT. */
static int fill_queue(const __u64 *handles, size_t n_handles)
{
	int own = peer_open();
	__u64 node = give(service, 8, own);
	for (int n = 0;; n++) {
		int r = send_handles(own, node, handles, n_handles);
		if (r == 0) continue;
		EXPECT(r, -EDQUOT);
		return n;
	}
}

static void half_of_the_slices(void)
{
	EXPECT(fill_queue(NULL, 0), 32);
}

static void a_quarter_of_the_slices(void)
{
	EXPECT(fill_queue(NULL, 0), 16);
}

static void none_of_the_slices(void)
{
	EXPECT(fill_queue(NULL, 0), 0);
}

static void slices_of_a_service(void)
{
	struct bus1_cmd_recv recv;
	__u64 offsets[32];
	service = peer_open();
	once(OFFENDER, half_of_the_slices);
	/* its messages stay though it has gone, and stay its own */
	once(OFFENDER, none_of_the_slices);
	once(BYSTANDER, a_quarter_of_the_slices);
	for (int i = 0; i < 16; i++) EXPECT(send_text(service, 8, "own"), 0);
	EXPECT(send_text(service, 8, "own"), -EDQUOT);
	for (int i = 0; i < 32; i++) {
		EXPECT(recv_message(service, &recv), 0);
		EXPECT(recv.msg.uid, OFFENDER);
		offsets[i] = recv.msg.offset;
	}
	/* received is not yet released */
	once(OFFENDER, none_of_the_slices);
	for (int i = 0; i < 32; i++) EXPECT(slice_release(service, offsets[i]), 0);
	once(OFFENDER, a_quarter_of_the_slices);
	EXPECT(flush(service), 0);
	once(THIRD, half_of_the_slices);
}

static const __u64 carried[16] = { 0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120 };

/* The service's node is one handle, and of the 1023 others half is 511.5. */
static void half_of_the_handles(void)
{
	EXPECT(fill_queue(carried, 16), 31);
}

static void a_quarter_of_the_handles(void)
{
	EXPECT(fill_queue(carried, 16), 16);
}

static void three_eighths_of_the_handles(void)
{
	EXPECT(fill_queue(carried, 16), 23);
}

static void none_of_the_handles(void)
{
	EXPECT(fill_queue(carried, 16), 0);
}

static void handles_of_a_service(void)
{
	struct bus1_cmd_recv recv;
	__u64 handles[31 * 16];
	service = peer_open();
	once(FOURTH, half_of_the_handles);
	EXPECT(flush(service), 0);
	pid_t offender = keep(OFFENDER, half_of_the_handles);
	once(OFFENDER, none_of_the_handles);
	once(BYSTANDER, a_quarter_of_the_handles);
	for (int i = 0; i < 31; i++) {
		EXPECT(recv_message(service, &recv), 0);
		EXPECT(recv.msg.uid, OFFENDER);
		for (int k = 0; k < 16; k++) handles[i * 16 + k] = handle_at(service, &recv, k);
		EXPECT(slice_release(service, recv.msg.offset), 0);
	}
	once(OFFENDER, none_of_the_handles);
	for (int i = 0; i < 31 * 16; i++) EXPECT(release(service, handles[i]), 0);
	once(OFFENDER, three_eighths_of_the_handles);
	drop(offender);
	EXPECT(flush(service), 0);
	once(THIRD, half_of_the_handles);
}

/* ---- ulimit -n 400 of the daemon, of which 300 are for descriptors of clients */

/* A seed with so many descriptors. */
static int seed(int peer, int count)
{
	int fds[BUS1_FD_MAX];
	fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK(fds[0] >= 0);
	for (int i = 1; i < count; i++) fds[i] = fds[0];
	struct bus1_cmd_send send = { .flags = BUS1_SEND_FLAG_SEED, .ptr_fds = (uintptr_t)fds, .n_fds = count };
	int r = command(peer, BUS1_CMD_SEND, &send);
	close(fds[0]);
	return r;
}

static void half_of_the_descriptors(void)
{
	int a = peer_open(), b = peer_open();
	EXPECT(seed(a, 151), -EDQUOT);
	EXPECT(seed(a, 100), 0);
	EXPECT(seed(b, 51), -EDQUOT);
	EXPECT(seed(b, 50), 0);
	EXPECT(seed(peer_open(), 1), -EDQUOT);
	/* what is no descriptor is not concerned */
	EXPECT(send_text(a, 8, "x"), 0);
}

static void a_quarter_of_the_descriptors(void)
{
	int a = peer_open();
	EXPECT(seed(a, 76), -EDQUOT);
	EXPECT(seed(a, 75), 0);
}

static void half_of_the_descriptors_again(void)
{
	struct pollfd nothing_happens = { peer_open(), POLLIN, 0 };
	int a = peer_open();
	/* they are closed by and by */
	for (int i = 0; seed(a, 150) != 0; i++) {
		CHECK(i < 5000);
		poll(&nothing_happens, 1, 1);
	}
}

static void descriptors_of_a_user(void)
{
	pid_t offender = keep(OFFENDER, half_of_the_descriptors);
	once(BYSTANDER, a_quarter_of_the_descriptors);
	drop(offender);
	once(OFFENDER, half_of_the_descriptors_again);
}

/* Peers whose user namespace has no maps yet: each keeps two descriptors of the daemon, to look again. */
static void as_many_peers_without_a_map(void)
{
	CHECK(unshare(CLONE_NEWUSER) == 0);
	EXPECT(count_peers(), 75);
}

static void two_peers(void)
{
	int a = peer_open(), b = peer_open();
	EXPECT(send_text(a, 8, "x"), 0);
	EXPECT(send_text(b, 8, "x"), 0);
}

static void peers_without_a_map(void)
{
	pid_t offender = keep(OFFENDER, as_many_peers_without_a_map);
	once(BYSTANDER, two_peers);
	drop(offender);
	once(OFFENDER, as_many_peers_without_a_map);
}

MAIN(CASE(peers_of_a_user), CASE(peers_of_all_users), CASE(held_bytes_of_a_user), CASE(held_bytes_of_all_users),
     CASE(memory_of_a_closed_peer_is_given_back), CASE(slices_of_a_service), CASE(handles_of_a_service),
     CASE(descriptors_of_a_user), CASE(peers_without_a_map),
     CASE(nobody_has_the_memory_of_the_daemon))
