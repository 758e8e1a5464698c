/*
 * Senders that multicast, receivers that check order and content, and a reaper who ends them in the middle of it.
 *
 *   soak DEVICE SEED MS
 *
 * One receiver is never ended: the order in which it receives is the one that all others must see. Prints what happened, and
 * lines that begin with "wrong: " for what must not have.
 */
#include "../clients/bus1-test.h"
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <time.h>

#define SENDERS 4
#define RECEIVERS 4
/* All who ever send, and how much of the order is kept. */
#define MAX_SENDERS 100000
#define ORDER (1 << 20)
#define NODE 8
#define MAX_WORDS 4000

/* A message begins with this; the rest is made of sender and number. */
struct head {
	unsigned sender, number;
	/* What was completed before this was sent: the last number of each sender at work. */
	struct {
		unsigned sender, number;
	} before[SENDERS];
};

static struct {
	volatile bool is_over;
	/* Which sender is at work in a place, and what each has completed. */
	volatile unsigned at_work[SENDERS], completed[MAX_SENDERS];
	/* Senders and numbers, as the first receiver sees them. */
	volatile __u64 order[ORDER];
	volatile long n_ordered;
	volatile long sent, received, files, handles, waits, kills, joined;
	volatile int wrong;
} * all;

static unsigned random_state;

#define ADD(what) __atomic_add_fetch(&all->what, 1, __ATOMIC_RELAXED)

static unsigned below(unsigned n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % n;
}

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

__attribute__((format(printf, 1, 2))) static void wrong(const char *format, ...)
{
	va_list arguments;
	if (__atomic_add_fetch(&all->wrong, 1, __ATOMIC_RELAXED) >= 10) return;
	va_start(arguments, format);
	printf("wrong: ");
	vprintf(format, arguments);
	puts("");
	fflush(stdout);
	va_end(arguments);
}

/* ---- descriptors of receivers go from the reaper to senders */

static void pass(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec vec = { &byte, 1 };
	struct msghdr header = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
	*rights = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(rights), &fd, sizeof fd);
	sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Returns a descriptor, or -1 if there is none waiting. */
static int take(int socket)
{
	int fd;
	char byte, control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec vec = { &byte, 1 };
	struct msghdr header = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	if (recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0 || CMSG_FIRSTHDR(&header) == NULL) return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof fd);
	return fd;
}

/* ---- senders */

static __u64 destinations[RECEIVERS * 4];
static unsigned n_destinations;

static void add_destination(int peer, int receiver)
{
	__u64 handle;
	if (n_destinations < RECEIVERS * 4 && transfer(receiver, NODE, peer, &handle) == 0 && handle != BUS1_HANDLE_INVALID)
		destinations[n_destinations++] = handle;
	close(receiver);
}

/* Lets go of receivers that are gone. */
static void read_notifications(int peer)
{
	struct bus1_cmd_recv recv;
	while (recv_message(peer, &recv) == 0) {
		if (recv.msg.type != BUS1_MSG_NODE_DESTROY) continue;
		for (unsigned i = 0; i < n_destinations; i++) {
			if (destinations[i] != recv.msg.destination) continue;
			release(peer, destinations[i]);
			destinations[i] = destinations[--n_destinations];
		}
	}
}

static _Noreturn void send_for_ever(unsigned place, unsigned sender, int socket, const int *receivers)
{
	static unsigned words[MAX_WORDS];
	struct head *head = (void *)words;
	int peer = peer_open();
	random_state = sender * 2654435761U;
	for (int i = 0; i < RECEIVERS; i++) add_destination(peer, receivers[i]);
	for (unsigned number = 1; !all->is_over; number++) {
		__u64 own = 16 + below(8) * 8;
		unsigned n = sizeof *head / 4 + (below(8) ? below(200) : below(MAX_WORDS - sizeof *head / 4));
		int file = below(20) ? -1 : memfd_create("soak", MFD_CLOEXEC), r;
		for (int fd; (fd = take(socket)) >= 0;) add_destination(peer, fd);
		for (unsigned i = sizeof *head / 4; i < n; i++) words[i] = sender ^ (number * i);
		*head = (struct head){ .sender = sender, .number = number };
		if (file >= 0) CHECK(write(file, head, 8) == 8);
		for (;;) {
			for (int i = 0; i < SENDERS; i++) {
				head->before[i].sender = all->at_work[i];
				head->before[i].number = all->completed[all->at_work[i]];
			}
			struct iovec vec = { words, n * 4 };
			struct bus1_cmd_send send = { .ptr_destinations = (uintptr_t)destinations, .n_destinations = n_destinations, .ptr_vecs = (uintptr_t)&vec, .n_vecs = 1, .ptr_handles = (uintptr_t)&own, .n_handles = number % 3 == 0, .ptr_fds = (uintptr_t)&file, .n_fds = file >= 0 };
			r = command(peer, BUS1_CMD_SEND, &send);
			if (r == 0 || all->is_over) break;
			if (r != -EDQUOT && r != -ESHUTDOWN && r != -EXFULL) wrong("SEND fails with %s", strerrorname_np(-r));
			ADD(waits);
			read_notifications(peer);
			usleep(1000);
		}
		if (r == 0) all->completed[sender] = number, ADD(sent);
		if (file >= 0) close(file);
		read_notifications(peer);
		if (below(100) == 0) usleep(below(3000));
	}
	(void)place;
	_exit(0);
}

/* ---- receivers */

static unsigned *last; /* number of each sender */
static long place_in_order;

/* The first receiver tells the order, the others look for what they get further on in it. */
static void check_order(bool is_first, unsigned sender, unsigned number)
{
	__u64 key = (__u64)sender << 32 | number;
	if (is_first) {
		all->order[all->n_ordered % ORDER] = key;
		__atomic_add_fetch(&all->n_ordered, 1, __ATOMIC_RELEASE);
		return;
	}
	for (long long begun = now();;) {
		long n = __atomic_load_n(&all->n_ordered, __ATOMIC_ACQUIRE);
		CHECK(n - place_in_order < ORDER);
		for (; place_in_order < n; place_in_order++) {
			if (all->order[place_in_order % ORDER] != key) continue;
			place_in_order++;
			return;
		}
		if (now() - begun > 20000) return wrong("message %u of sender %u is out of order", number, sender);
		usleep(200); /* the first receiver has not come to it yet */
	}
}

static void check(bool is_first, int peer, const struct bus1_cmd_recv *recv, const uint8_t *map)
{
	const unsigned *words = (const void *)(map + recv->msg.offset);
	const struct head *head = (const void *)words;
	unsigned sender = head->sender, number = head->number, n = recv->msg.n_bytes / 4;
	if (sender >= MAX_SENDERS || n < sizeof *head / 4) return wrong("a message of sender %u is not one of ours", sender);
	if (last[sender] != 0 && number != last[sender] + 1)
		wrong("after message %u of sender %u comes %u", last[sender], sender, number);
	last[sender] = number;
	for (int i = 0; i < SENDERS; i++) {
		unsigned other = head->before[i].sender;
		if (other < MAX_SENDERS && other != sender && last[other] != 0 && last[other] < head->before[i].number)
			wrong("message %u of sender %u comes before %u of %u, which it followed", number, sender,
			      head->before[i].number, other);
	}
	for (unsigned i = sizeof *head / 4; i < n; i++) {
		if (words[i] == (sender ^ (number * i))) continue;
		wrong("the content of message %u of sender %u is not its own", number, sender);
		break;
	}
	const __u64 *handles = (const void *)(map + recv->msg.offset + (recv->msg.n_bytes + 7) / 8 * 8);
	const int *files = (const void *)(handles + recv->msg.n_handles);
	if (recv->msg.n_handles != (number % 3 == 0)) wrong("%llu handles", recv->msg.n_handles);
	for (__u64 i = 0; i < recv->msg.n_handles; i++) {
		if (handles[i] == BUS1_HANDLE_INVALID) continue;
		int r = release(peer, handles[i]);
		if (r) wrong("a carried handle cannot be released: %s", strerrorname_np(-r));
		ADD(handles);
	}
	for (__u64 i = 0; i < recv->msg.n_fds; i++) {
		unsigned said[2];
		if (pread(files[i], said, 8, 0) != 8 || said[0] != sender || said[1] != number) wrong("another file than was sent");
		close(files[i]);
		ADD(files);
	}
	check_order(is_first, sender, number);
}

static _Noreturn void receive_for_ever(bool is_first, int peer)
{
	const uint8_t *map = pool(peer);
	last = calloc(MAX_SENDERS, sizeof *last);
	for (;;) {
		struct bus1_cmd_recv recv;
		struct pollfd pollfd = { peer, POLLIN, 0 };
		poll(&pollfd, 1, 100);
		int r = recv_flags(peer, &recv, BUS1_RECV_FLAG_INSTALL_FDS);
		if (r == -EAGAIN && all->is_over) _exit(0);
		if (r == -EAGAIN) continue;
		if (r) {
			wrong("RECV fails with %s", strerrorname_np(-r));
			continue;
		}
		if (recv.msg.type != BUS1_MSG_DATA) continue;
		check(is_first, peer, &recv, map);
		ADD(received);
		if ((r = slice_release(peer, recv.msg.offset))) wrong("SLICE_RELEASE fails with %s", strerrorname_np(-r));
	}
}

/* ---- the reaper */

static pid_t senders[SENDERS], receivers[RECEIVERS];
static int sockets[SENDERS][2], peers[RECEIVERS];
static unsigned n_senders;

static void start_sender(unsigned place)
{
	unsigned sender = ++n_senders;
	CHECK(sender < MAX_SENDERS && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets[place]) == 0);
	all->at_work[place] = sender;
	if ((senders[place] = fork()) > 0) return (void)close(sockets[place][1]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < SENDERS; i++)
		if (i != (int)place) close(sockets[i][0]);
	send_for_ever(place, sender, sockets[place][1], peers);
}

static void start_receiver(unsigned place)
{
	place_in_order = all->n_ordered; /* what it receives comes later */
	peers[place] = peer_open();
	ADD(joined);
	if ((receivers[place] = fork()) == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < RECEIVERS; i++)
			if (i != (int)place) close(peers[i]);
		for (int i = 0; i < SENDERS; i++) close(sockets[i][0]);
		receive_for_ever(place == 0, peers[place]);
	}
	for (int i = 0; i < SENDERS; i++)
		if (senders[i]) pass(sockets[i][0], peers[place]);
}

static void end(pid_t process)
{
	kill(process, SIGKILL);
	waitpid(process, NULL, 0);
	all->kills++;
}

/* Clients that have nothing to do with the others. */
static void churn(void)
{
	if (fork() > 0) return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int a = peer_open(), b = peer_open();
	for (int i = 0; i < 40; i++) {
		__u64 handle = give(a, (i + 1) * 8, b);
		send_text(b, handle, "to somebody who goes");
	}
	if (below(2)) destroy(a, 0, ARRAY(8, 16, 24));
	_exit(0);
}

int main(int argc, char **argv)
{
	CHECK(argc == 4);
	device = argv[1];
	random_state = atoi(argv[2]);
	all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(all != MAP_FAILED);
	for (int i = 0; i < RECEIVERS; i++) start_receiver(i);
	for (int i = 0; i < SENDERS; i++) start_sender(i);
	for (long long until = now() + atoi(argv[3]); now() < until;) {
		usleep(10000);
		unsigned i = below(400);
		if (i < SENDERS) {
			end(senders[i]);
			close(sockets[i][0]);
			start_sender(i);
		} else if (i > 10 && i < 10 + RECEIVERS) {
			i -= 10;
			end(receivers[i]);
			close(peers[i]);
			start_receiver(i);
		} else if (i > 380) {
			churn();
		}
		for (pid_t ended; (ended = waitpid(-1, NULL, WNOHANG)) > 0;) {
			for (int j = 0; j < SENDERS; j++)
				if (ended == senders[j]) wrong("a sender ended"), start_sender(j);
			for (int j = 0; j < RECEIVERS; j++)
				if (ended == receivers[j]) wrong("a receiver ended"), exit(1);
		}
	}
	all->is_over = true;
	for (int i = 0; i < SENDERS; i++) waitpid(senders[i], NULL, 0);
	for (int i = 0; i < RECEIVERS; i++) waitpid(receivers[i], NULL, 0);
	while (wait(NULL) > 0) continue;
	printf("%ld multicasts of %u senders; %ld messages received by %ld receivers, with %ld files and %ld handles; %ld waits, %ld killed\n",
	       all->sent, n_senders, all->received, all->joined, all->files, all->handles, all->waits, all->kills);
	return all->wrong ? 1 : 0;
}
