/*
 * Times operations on a bus1 device, or the floor, or a socket pair, in one process. Prints the median of the rounds in
 * nanoseconds per operation.
 *
 *   client floor FILE            an ioctl of 32 bytes on the floor
 *   client query DEVICE          PEER_QUERY
 *   client send DEVICE BYTES N   SEND of so many bytes to N peers; receiving is not timed
 *   client cycle DEVICE BYTES N  the same, and RECV and SLICE_RELEASE on each
 *   client fds DEVICE N          SEND of N descriptors, RECV that installs them, SLICE_RELEASE, and closing them
 *   client nested DEVICE         like cycle with 1 KiB, the receiving peer opened in a pid namespace below the sender's
 *   client loaded DEVICE WHAT N  like cycle with 1 KiB, while there are N more of something: messages queued on the receiver,
 *                                peers that hold a handle to its node, handles of its own, holes in its pool
 *   client open DEVICE           open and close
 *   client idle DEVICE N         opens N peers, says "ready" and waits for a signal
 *   client copy FILE BYTES       a bare process_vm_readv of so many bytes into a mapped memfd; the file is not used
 *   client socket BYTES N        send and recv over N SOCK_SEQPACKET pairs
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/bus1.h>

enum {
	MAX_PEERS = 1024,
	MAX_LOAD = 16384,
	ROUNDS = 9,
};

static int sender, peers[MAX_PEERS], sockets[MAX_PEERS][2];
static __u64 handles[MAX_LOAD];
static size_t n_peers = 1, n_bytes;
static char *payload, *sink;
static double timed;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void check(int result, const char *what)
{
	if (result < 0) err(1, "%s", what);
}

static void query(void)
{
	struct bus1_cmd_peer_reset query = { 0 };
	double start = now();
	check(ioctl(sender, BUS1_CMD_PEER_QUERY, &query), "PEER_QUERY");
	timed += now() - start;
}

static void send_once(void)
{
	struct iovec vec = { payload, n_bytes };
	struct bus1_cmd_send send = {
		.ptr_destinations = (unsigned long)handles,
		.n_destinations = n_peers,
		.ptr_vecs = (unsigned long)&vec,
		.n_vecs = n_bytes ? 1 : 0,
	};
	check(ioctl(sender, BUS1_CMD_SEND, &send), "SEND");
}

static void receive_all(void)
{
	for (size_t i = 0; i < n_peers; i++) {
		struct bus1_cmd_recv recv = { .max_offset = -1 };
		check(ioctl(peers[i], BUS1_CMD_RECV, &recv), "RECV");
		check(ioctl(peers[i], BUS1_CMD_SLICE_RELEASE, &recv.msg.offset), "SLICE_RELEASE");
	}
}

static void send_only(void)
{
	double start = now();
	send_once();
	timed += now() - start;
	receive_all();
}

static void cycle(void)
{
	double start = now();
	send_once();
	receive_all();
	timed += now() - start;
}

static void socket_cycle(void)
{
	double start = now();
	for (size_t i = 0; i < n_peers; i++) {
		check(send(sockets[i][0], payload, n_bytes, 0), "send");
		check(recv(sockets[i][1], sink, n_bytes, 0), "recv");
	}
	timed += now() - start;
}

static const char *device;
static const char *pool;
static size_t n_fds;
static int null_fd;

static void fds_cycle(void)
{
	int fds[BUS1_FD_MAX];
	for (size_t i = 0; i < n_fds; i++) fds[i] = null_fd;
	struct bus1_cmd_send send = {
		.ptr_destinations = (unsigned long)handles,
		.n_destinations = 1,
		.ptr_fds = (unsigned long)fds,
		.n_fds = n_fds,
	};
	struct bus1_cmd_recv recv = { .flags = BUS1_RECV_FLAG_INSTALL_FDS, .max_offset = -1 };
	double start = now();
	check(ioctl(sender, BUS1_CMD_SEND, &send), "SEND");
	check(ioctl(peers[0], BUS1_CMD_RECV, &recv), "RECV");
	memcpy(fds, pool + recv.msg.offset, n_fds * sizeof *fds);
	for (size_t i = 0; i < n_fds; i++) check(close(fds[i]), "close");
	check(ioctl(peers[0], BUS1_CMD_SLICE_RELEASE, &recv.msg.offset), "SLICE_RELEASE");
	timed += now() - start;
}

/* Opens the device in a pid namespace of its own, through a descriptor table shared with the child. */
static int open_nested(void)
{
	int next = dup(0), status;
	close(next);
	pid_t child = syscall(SYS_clone, CLONE_NEWPID | CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	check(child, "clone");
	if (child == 0) _exit(open(device, O_RDWR | O_CLOEXEC) != next);
	if (waitpid(child, &status, 0) < 0 || status) errx(1, "opening in a pid namespace");
	return next;
}

static void copy(void)
{
	struct iovec from = { payload, n_bytes }, to = { sink, n_bytes };
	double start = now();
	check(process_vm_readv(getpid(), &to, 1, &from, 1, 0), "process_vm_readv");
	timed += now() - start;
}

static void open_close(void)
{
	double start = now();
	int fd = open(device, O_RDWR | O_CLOEXEC);
	check(fd, device);
	close(fd);
	timed += now() - start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void measure(void (*operation)(void))
{
	double rounds[ROUNDS], per_round = 30e6;
	for (int i = 0; i < 300; i++) operation();
	for (int r = 0; r < ROUNDS; r++) {
		long count = 0;
		timed = 0;
		for (double end = now() + per_round; now() < end || count < 5; count++) operation();
		rounds[r] = timed / count;
	}
	qsort(rounds, ROUNDS, sizeof *rounds, by_value);
	printf("%.0f\n", rounds[ROUNDS / 2]);
}

static void make_peers(int is_nested)
{
	for (size_t i = 0; i < n_peers; i++) {
		struct bus1_cmd_handle_transfer transfer = { .src_handle = 8, .dst_fd = sender };
		check(peers[i] = is_nested ? open_nested() : open(device, O_RDWR | O_CLOEXEC), device);
		check(ioctl(peers[i], BUS1_CMD_HANDLE_TRANSFER, &transfer), "HANDLE_TRANSFER");
		handles[i] = transfer.dst_handle;
	}
}

static void allow_peers(size_t n)
{
	struct rlimit limit = { n + 100, n + 100 };
	check(setrlimit(RLIMIT_NOFILE, &limit), "RLIMIT_NOFILE");
}

static __u64 transfer(int from, __u64 id, int to)
{
	struct bus1_cmd_handle_transfer transfer = { .src_handle = id, .dst_fd = to };
	check(ioctl(from, BUS1_CMD_HANDLE_TRANSFER, &transfer), "HANDLE_TRANSFER");
	return transfer.dst_handle;
}

static void load(const char *what, size_t n)
{
	static const struct bus1_cmd_recv any = { .max_offset = -1 };
	size_t size = n_bytes;
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(what, "queued")) send_once();
		else if (!strcmp(what, "handles")) transfer(sender, 8 * (i + 1), peers[0]);
		else if (!strcmp(what, "holders")) {
			int holder = open(device, O_RDWR | O_CLOEXEC);
			check(holder, device);
			transfer(peers[0], 8, holder);
		} else if (!strcmp(what, "holes")) {
			struct bus1_cmd_recv hole = any, kept = any;
			n_bytes = 8 * (1 + i % 2000);
			send_once();
			n_bytes = 8;
			send_once();
			check(ioctl(peers[0], BUS1_CMD_RECV, &hole), "RECV");
			check(ioctl(peers[0], BUS1_CMD_RECV, &kept), "RECV");
			handles[1 + i] = hole.msg.offset;
		} else errx(2, "no such load: %s", what);
	}
	if (!strcmp(what, "holes"))
		for (size_t i = 0; i < n; i++) check(ioctl(peers[0], BUS1_CMD_SLICE_RELEASE, &handles[1 + i]), "SLICE_RELEASE");
	n_bytes = size;
}

static void idle(size_t n)
{
	allow_peers(n);
	while (n--) check(open(device, O_RDWR | O_CLOEXEC), device);
	puts("ready");
	fflush(stdout);
	pause();
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	int is_socket = !strcmp(mode, "socket"), is_loaded = !strcmp(mode, "loaded"), at = is_socket ? 2 : 3;
	size_t n_load = is_loaded && argc > 4 ? strtoul(argv[4], NULL, 0) : 0;
	if (argc < 3) errx(2, "usage: see the head of client.c");
	device = argv[2];
	if (is_loaded) n_bytes = 1024, allow_peers(n_load);
	else if (argc > at) n_bytes = strtoul(argv[at], NULL, 0);
	if (!is_loaded && argc > at + 1) n_peers = strtoul(argv[at + 1], NULL, 0);
	if (!strcmp(mode, "idle")) idle(n_bytes);
	if (n_peers > MAX_PEERS) errx(2, "at most %d peers", MAX_PEERS);
	payload = malloc(n_bytes + 16384);
	sink = malloc(n_bytes + 1024);
	memset(payload, 'x', n_bytes);
	if (is_socket) {
		for (size_t i = 0; i < n_peers; i++) {
			int size = 4 << 20;
			check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets[i]), "socketpair");
			setsockopt(sockets[i][0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
		}
		measure(socket_cycle);
		return 0;
	}
	if (!strcmp(mode, "copy")) {
		int memory = memfd_create("copy", MFD_CLOEXEC);
		check(ftruncate(memory, n_bytes), "ftruncate");
		sink = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
		measure(copy);
		return 0;
	}
	check(sender = open(device, O_RDWR | O_CLOEXEC), device);
	if (!strcmp(mode, "floor") || !strcmp(mode, "query")) measure(query);
	else if (!strcmp(mode, "open")) measure(open_close);
	else {
		int is_nested = !strcmp(mode, "nested");
		if (!strcmp(mode, "fds")) n_fds = n_bytes, n_bytes = 0;
		if (is_nested) n_bytes = 1024;
		check(null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), "/dev/null");
		make_peers(is_nested);
		if (is_loaded) load(argv[3], n_load);
		pool = mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, peers[0], 0);
		measure(!strcmp(mode, "send") ? send_only : (n_fds ? fds_cycle : cycle));
	}
	return 0;
}
