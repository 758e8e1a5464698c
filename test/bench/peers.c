/*
 * The same work over bus1, over a D-Bus daemon with libsystemd's sd-bus, and over SOCK_SEQPACKET pairs. Whoever receives waits
 * in poll, and reads one byte of every page. Prints one JSON object; times are microseconds. WITHOUT_DBUS leaves sd-bus out.
 *
 *   peers TRANSPORT call BYTES COUNT    a client calls a service with so many bytes and gets an empty reply
 *   peers TRANSPORT stream BYTES COUNT  messages one way, as many at a time as fit, acknowledged in between
 *   peers TRANSPORT fan N COUNT         1 KiB from one sender to N receivers
 *   peers TRANSPORT pairs N COUNT       N clients, each with a service of its own, call with 1 KiB all at once
 *
 * TRANSPORT is bus1:DEVICE, dbus:ADDRESS or socket. After the others come the pids of the daemons that do the work.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/bus1.h>
#ifndef WITHOUT_DBUS
#include <systemd/sd-bus.h>
#endif

enum {
	MAX_RECEIVERS = 64,
	PAGE = 4096,
	KIB = 1024,
	WINDOW_BYTES = 4 << 20,
	WINDOW = 64,
};

/* What all processes of one run share. */
struct shared {
	int ready, done, go;
	double last;
};
static struct shared *shared;

/* Where messages come in; and where they go to, by all of whom they are received at once. */
struct end {
	int fd;
	const char *pool;
	__u64 handles[MAX_RECEIVERS];
	int sockets[MAX_RECEIVERS];
	size_t n;
	struct sd_bus *bus;
	char name[64];
};

struct transport {
	/* Before the processes part: ends that reach each other; and one sender to n receivers. */
	void (*connect)(struct end *a, struct end *b);
	void (*fan)(struct end *sender, struct end *receivers, size_t n);
	/* In its own process, before anything is sent. */
	void (*join)(struct end *end, struct end *other, bool is_receiver);
	void (*send)(struct end *end, size_t size);
	void (*receive)(struct end *end);
	/* The same where there may be something already. */
	void (*next)(struct end *end);
	void (*call)(struct end *end, size_t size);
	void (*serve)(struct end *end);
};

static const char *address;
static char *payload;
static volatile char touched;
static double read_at;

static void check(long result, const char *what)
{
	if (result < 0) err(1, "%s", what);
}

static double clock_us(clockid_t clock)
{
	struct timespec t;
	check(clock_gettime(clock, &t), "clock_gettime");
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double now(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

static void touch(const char *data, size_t size)
{
	for (size_t i = 0; i < size; i += PAGE) touched += data[i];
	read_at = now();
}

static void wait_readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };
	check(poll(&p, 1, -1), "poll");
}

/* ---- bus1 */

static void bus1_open(struct end *end)
{
	end->fd = open(address, O_RDWR | O_CLOEXEC);
	check(end->fd, address);
	end->pool = mmap(NULL, 512 << 20, PROT_READ, MAP_SHARED, end->fd, 0);
	if (end->pool == MAP_FAILED) err(1, "mmap");
}

static void bus1_reach(struct end *from, struct end *to)
{
	struct bus1_cmd_handle_transfer transfer = { .src_handle = 8, .dst_fd = from->fd };
	check(ioctl(to->fd, BUS1_CMD_HANDLE_TRANSFER, &transfer), "HANDLE_TRANSFER");
	from->handles[from->n++] = transfer.dst_handle;
}

static void bus1_connect(struct end *a, struct end *b)
{
	bus1_open(a);
	bus1_open(b);
	bus1_reach(a, b);
	bus1_reach(b, a);
}

static void bus1_fan(struct end *sender, struct end *receivers, size_t n)
{
	bus1_open(sender);
	for (size_t i = 0; i < n; i++) {
		bus1_open(&receivers[i]);
		bus1_reach(sender, &receivers[i]);
	}
}

static void nothing_to_join(struct end *end, struct end *other, bool is_receiver)
{
	(void)end, (void)other, (void)is_receiver;
}

static void bus1_send(struct end *end, size_t size)
{
	struct iovec vec = { payload, size };
	struct bus1_cmd_send send = {
		.ptr_destinations = (unsigned long)end->handles,
		.n_destinations = end->n,
		.ptr_vecs = (unsigned long)&vec,
		.n_vecs = size ? 1 : 0,
	};
	check(ioctl(end->fd, BUS1_CMD_SEND, &send), "SEND");
}

static void bus1_next(struct end *end)
{
	struct bus1_cmd_recv recv = { .max_offset = -1 };
	while (ioctl(end->fd, BUS1_CMD_RECV, &recv) < 0) {
		if (errno != EAGAIN) err(1, "RECV");
		wait_readable(end->fd);
	}
	touch(end->pool + recv.msg.offset, recv.msg.n_bytes);
	check(ioctl(end->fd, BUS1_CMD_SLICE_RELEASE, &recv.msg.offset), "SLICE_RELEASE");
}

static void bus1_receive(struct end *end)
{
	wait_readable(end->fd);
	bus1_next(end);
}

static void bus1_call(struct end *end, size_t size)
{
	bus1_send(end, size);
	bus1_receive(end);
}

static void bus1_serve(struct end *end)
{
	bus1_receive(end);
	bus1_send(end, 0);
}

/* ---- a socket pair */

static void socket_pair(int *a, int *b)
{
	int ends[2], size = 8 << 20;
	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
	for (int i = 0; i < 2; i++) check(setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size), "SO_SNDBUFFORCE");
	*a = ends[0];
	*b = ends[1];
}

static void socket_connect(struct end *a, struct end *b)
{
	socket_pair(&a->fd, &b->fd);
	a->sockets[a->n++] = a->fd;
	b->sockets[b->n++] = b->fd;
}

static void socket_fan(struct end *sender, struct end *receivers, size_t n)
{
	sender->n = n;
	for (size_t i = 0; i < n; i++) socket_pair(&sender->sockets[i], &receivers[i].fd);
}

static void socket_send(struct end *end, size_t size)
{
	for (size_t i = 0; i < end->n; i++) check(send(end->sockets[i], payload, size + 1, 0), "send");
}

static void socket_next(struct end *end)
{
	static char buffer[(1 << 20) + 1];
	long size;
	while ((size = recv(end->fd, buffer, sizeof buffer, MSG_DONTWAIT)) < 0) {
		if (errno != EAGAIN) err(1, "recv");
		wait_readable(end->fd);
	}
	touch(buffer, size);
}

static void socket_receive(struct end *end)
{
	wait_readable(end->fd);
	socket_next(end);
}

static void socket_call(struct end *end, size_t size)
{
	socket_send(end, size);
	socket_receive(end);
}

static void socket_serve(struct end *end)
{
	socket_receive(end);
	socket_send(end, 0);
}

#ifndef WITHOUT_DBUS
/* ---- D-Bus */

static int n_received;

static void check_bus(int result, const char *what)
{
	if (result < 0) errx(1, "%s: %s", what, strerror(-result));
}

static void dbus_connect(struct end *a, struct end *b)
{
	static int last;
	snprintf(b->name, sizeof b->name, "org.bus1.Bench.P%d.S%d", getpid(), last++);
	a->n = b->n = 1;
}

static void dbus_fan(struct end *sender, struct end *receivers, size_t n)
{
	(void)receivers;
	sender->n = n;
}

static int dbus_on_message(sd_bus_message *message, void *unused, sd_bus_error *error)
{
	const void *data;
	size_t size;
	(void)unused, (void)error;
	check_bus(sd_bus_message_read_array(message, 'y', &data, &size), "read_array");
	touch(data, size);
	n_received++;
	if (sd_bus_message_get_expect_reply(message)) check_bus(sd_bus_reply_method_return(message, ""), "reply");
	return 1;
}

static void dbus_join(struct end *end, struct end *other, bool is_receiver)
{
	check_bus(sd_bus_new(&end->bus), "sd_bus_new");
	check_bus(sd_bus_set_address(end->bus, address), address);
	check_bus(sd_bus_set_bus_client(end->bus, 1), "set_bus_client");
	check_bus(sd_bus_start(end->bus), "sd_bus_start");
	if (end->name[0]) check_bus(sd_bus_request_name(end->bus, end->name, 0), "request_name");
	if (is_receiver) {
		const char *match = "type='signal',interface='org.bus1.Bench'";
		check_bus(sd_bus_add_object(end->bus, NULL, "/bench", dbus_on_message, NULL), "add_object");
		if (!end->name[0]) check_bus(sd_bus_add_match(end->bus, NULL, match, dbus_on_message, NULL), "add_match");
	} else if (other) {
		memcpy(end->name, other->name, sizeof end->name);
	}
}

static sd_bus_message *dbus_message(struct end *end, size_t size)
{
	sd_bus_message *message;
	if (end->name[0])
		check_bus(sd_bus_message_new_method_call(end->bus, &message, end->name, "/bench", "org.bus1.Bench", "Take"), "call");
	else
		check_bus(sd_bus_message_new_signal(end->bus, &message, "/bench", "org.bus1.Bench", "Taken"), "signal");
	check_bus(sd_bus_message_append_array(message, 'y', payload, size), "append_array");
	return message;
}

static void dbus_send(struct end *end, size_t size)
{
	sd_bus_message *message = dbus_message(end, size);
	if (end->name[0]) check_bus(sd_bus_message_set_expect_reply(message, 0), "set_expect_reply");
	check_bus(sd_bus_send(end->bus, message, NULL), "send");
	sd_bus_message_unref(message);
	check_bus(sd_bus_flush(end->bus), "flush");
}

static void dbus_receive(struct end *end)
{
	for (int before = n_received; n_received == before;) {
		int r = sd_bus_process(end->bus, NULL);
		check_bus(r, "process");
		if (r == 0) check_bus(sd_bus_wait(end->bus, UINT64_MAX), "wait");
	}
}

static void dbus_call(struct end *end, size_t size)
{
	sd_bus_message *message = dbus_message(end, size), *reply;
	check_bus(sd_bus_call(end->bus, message, 0, NULL, &reply), "call");
	sd_bus_message_unref(message);
	sd_bus_message_unref(reply);
}

static const struct transport dbus = { dbus_connect, dbus_fan, dbus_join, dbus_send, dbus_receive, dbus_receive, dbus_call,
				       dbus_receive };
#endif

static const struct transport bus1 = { bus1_connect, bus1_fan, nothing_to_join, bus1_send, bus1_receive, bus1_next, bus1_call,
				       bus1_serve };
static const struct transport sockets = { socket_connect, socket_fan, nothing_to_join, socket_send, socket_receive, socket_next,
					  socket_call, socket_serve };

/* ---- the work */

static const struct transport *transport;
static size_t amount, count;
static int n_daemons;
static clockid_t daemons[4];

static pid_t start(void)
{
	pid_t child = fork();
	check(child, "fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGTERM, SIG_DFL);
	}
	return child;
}

static void is_ready(void)
{
	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
}

static void wait_for_ready(int n)
{
	while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < n) usleep(1000);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double quantile(const double *sorted, double q)
{
	size_t i = q * count;
	return sorted[i < count ? i : count - 1];
}

static double of_daemons(void)
{
	double sum = 0;
	for (int i = 0; i < n_daemons; i++) sum += clock_us(daemons[i]);
	return sum;
}

/* Starts a service for an end; the other end becomes usable. */
static pid_t start_service(struct end *client, struct end *service)
{
	int before = shared->ready;
	transport->connect(client, service);
	pid_t child = start();
	if (child == 0) {
		transport->join(service, NULL, true);
		is_ready();
		for (;;) transport->serve(service);
	}
	wait_for_ready(before + 1);
	transport->join(client, service, false);
	return child;
}

static void call(void)
{
	struct end client = { 0 }, service = { 0 };
	pid_t child = start_service(&client, &service);
	double *samples = malloc(count * sizeof *samples);
	clockid_t service_clock;
	check(-clock_getcpuclockid(child, &service_clock), "clock_getcpuclockid");
	for (size_t i = 0; i < count / 4 + 1; i++) transport->call(&client, amount);
	double of_client = clock_us(CLOCK_PROCESS_CPUTIME_ID), of_service = clock_us(service_clock), of_daemon = of_daemons();
	for (size_t i = 0; i < count; i++) {
		double start = now();
		transport->call(&client, amount);
		samples[i] = now() - start;
	}
	of_client = clock_us(CLOCK_PROCESS_CPUTIME_ID) - of_client;
	of_service = clock_us(service_clock) - of_service;
	of_daemon = of_daemons() - of_daemon;
	qsort(samples, count, sizeof *samples, by_size);
	printf("{\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f,\"client\":%.2f,\"service\":%.2f,\"daemon\":%.2f}\n",
	       quantile(samples, .5), quantile(samples, .99), quantile(samples, .999), samples[count - 1],
	       of_client / count, of_service / count, of_daemon / count);
	kill(child, SIGKILL);
}

static void stream(void)
{
	struct end sender = { 0 }, receiver = { 0 };
	int credit = eventfd(0, EFD_CLOEXEC);
	size_t window = amount > WINDOW_BYTES / WINDOW ? WINDOW_BYTES / amount : WINDOW;
	count = (count + window - 1) / window * window;
	transport->connect(&sender, &receiver);
	pid_t child = start();
	if (child == 0) {
		transport->join(&receiver, NULL, true);
		is_ready();
		for (size_t i = 1;; i++) {
			transport->next(&receiver);
			if (i % (window / 2) == 0) check(eventfd_write(credit, window / 2), "eventfd");
		}
	}
	wait_for_ready(1);
	transport->join(&sender, &receiver, false);
	size_t left = window;
	double start = now();
	for (size_t i = 0; i < count; i++) {
		while (left == 0) {
			eventfd_t more;
			check(eventfd_read(credit, &more), "eventfd");
			left += more;
		}
		transport->send(&sender, amount);
		left--;
	}
	while (left < window) {
		eventfd_t more;
		check(eventfd_read(credit, &more), "eventfd");
		left += more;
	}
	double us = now() - start;
	printf("{\"perSecond\":%.0f,\"mibPerSecond\":%.1f}\n", count / us * 1e6, count * amount / us * 1e6 / (1 << 20));
	kill(child, SIGKILL);
}

static void fan(void)
{
	static struct end sender, receivers[MAX_RECEIVERS];
	double *blocked = malloc(count * sizeof *blocked), *delivered = malloc(count * sizeof *delivered);
	int all = eventfd(0, EFD_CLOEXEC);
	pid_t children[MAX_RECEIVERS];
	transport->fan(&sender, receivers, amount);
	for (size_t i = 0; i < amount; i++) {
		if ((children[i] = start()) > 0) continue;
		transport->join(&receivers[i], NULL, true);
		is_ready();
		for (;;) {
			transport->receive(&receivers[i]);
			if ((size_t)__atomic_add_fetch(&shared->done, 1, __ATOMIC_SEQ_CST) < amount) continue;
			shared->last = read_at;
			check(eventfd_write(all, 1), "eventfd");
		}
	}
	wait_for_ready(amount);
	transport->join(&sender, NULL, false);
	for (size_t i = 0; i < count; i++) {
		eventfd_t unused;
		usleep(200); /* until all wait again */
		shared->done = 0;
		double start = now();
		transport->send(&sender, KIB);
		blocked[i] = now() - start;
		check(eventfd_read(all, &unused), "eventfd");
		delivered[i] = shared->last - start;
	}
	qsort(blocked, count, sizeof *blocked, by_size);
	qsort(delivered, count, sizeof *delivered, by_size);
	printf("{\"blocked\":%.2f,\"delivered\":%.2f}\n", quantile(blocked, .5), quantile(delivered, .5));
	for (size_t i = 0; i < amount; i++) kill(children[i], SIGKILL);
}

static void pairs(void)
{
	pid_t clients[MAX_RECEIVERS];
	for (size_t i = 0; i < amount; i++) {
		if ((clients[i] = start()) > 0) continue;
		struct end client = { 0 }, service = { 0 };
		struct shared *of_all = shared;
		shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		pid_t child = start_service(&client, &service);
		shared = of_all;
		for (size_t j = 0; j < count / 4; j++) transport->call(&client, KIB);
		is_ready();
		while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST)) usleep(100);
		for (size_t j = 0; j < count; j++) transport->call(&client, KIB);
		kill(child, SIGKILL);
		_exit(0);
	}
	wait_for_ready(amount);
	double start = now();
	__atomic_store_n(&shared->go, 1, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < amount; i++) {
		int status;
		check(waitpid(clients[i], &status, 0), "waitpid");
		if (status) errx(1, "a client failed");
	}
	printf("{\"perSecond\":%.0f}\n", amount * count / (now() - start) * 1e6);
}

int main(int argc, char **argv)
{
	if (argc < 5) errx(2, "usage: peers TRANSPORT WORK AMOUNT COUNT [DAEMON...]");
	address = strchr(argv[1], ':') ? strchr(argv[1], ':') + 1 : "";
	transport = argv[1][0] == 'b' ? &bus1 : &sockets;
#ifndef WITHOUT_DBUS
	if (argv[1][0] == 'd') transport = &dbus;
#endif
	amount = strtoul(argv[3], NULL, 0);
	count = strtoul(argv[4], NULL, 0);
	for (int i = 5; i < argc; i++) check(-clock_getcpuclockid(atoi(argv[i]), &daemons[n_daemons++]), "clock_getcpuclockid");
	payload = calloc(1, (1 << 20) + 1);
	memset(payload, 'x', 1 << 20);
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!strcmp(argv[2], "call")) call();
	else if (!strcmp(argv[2], "stream")) stream();
	else if (!strcmp(argv[2], "fan")) fan();
	else if (!strcmp(argv[2], "pairs")) pairs();
	else errx(2, "no such work: %s", argv[2]);
	return 0;
}
