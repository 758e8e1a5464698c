/*
 * A small service and three clients, each a process of its own, talking over bus1.
 *
 *   demo [DEVICE]        default /dev/bus1
 *
 * The service owns a node; every client gets a handle to it before it is forked. A client calls by sending text and a
 * handle to a node of its own, to which the service replies. At the end the service tells all clients in one message,
 * then destroys its node, which every holder of a handle is told by the bus.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <err.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/bus1.h>

enum {
	CLIENTS = 3,
	POOL_SIZE = 1 << 20,
};
#define SERVICE_NODE 0x10 /* the owner chooses the ids of its nodes */
#define REPLY_NODE 0x20

struct peer {
	int fd;
	int epoll;
	const char *pool;
	char name[16];
};

static void say(const struct peer *peer, const char *format, ...)
{
	char line[256];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	printf("%-9s %s\n", peer->name, line);
}

static void check(int result, const char *what)
{
	if (result < 0) err(1, "%s", what);
}

/* Opening the device makes a peer; mapping it shows the pool its messages arrive in. */
static struct peer peer_open(const char *device, const char *name)
{
	struct peer peer = { .fd = open(device, O_RDWR | O_CLOEXEC), .epoll = epoll_create1(EPOLL_CLOEXEC) };
	struct epoll_event readable = { .events = EPOLLIN };
	check(peer.fd, device);
	peer.pool = mmap(NULL, POOL_SIZE, PROT_READ, MAP_SHARED, peer.fd, 0);
	if (peer.pool == MAP_FAILED) err(1, "mmap");
	check(epoll_ctl(peer.epoll, EPOLL_CTL_ADD, peer.fd, &readable), "epoll_ctl");
	snprintf(peer.name, sizeof peer.name, "%s", name);
	return peer;
}

static void send_text(const struct peer *peer, const __u64 *destinations, size_t n, const char *text, const __u64 *handle)
{
	struct iovec vec = { (void *)text, strlen(text) + 1 };
	struct bus1_cmd_send send = {
		.ptr_destinations = (uintptr_t)destinations,
		.n_destinations = n,
		.ptr_vecs = (uintptr_t)&vec,
		.n_vecs = 1,
		.ptr_handles = (uintptr_t)handle,
		.n_handles = handle != NULL,
	};
	check(ioctl(peer->fd, BUS1_CMD_SEND, &send), "SEND");
}

/* Waits for the next message. */
static struct bus1_cmd_recv receive(const struct peer *peer)
{
	struct bus1_cmd_recv recv = { .max_offset = POOL_SIZE };
	struct epoll_event event;
	check(epoll_wait(peer->epoll, &event, 1, -1), "epoll_wait");
	check(ioctl(peer->fd, BUS1_CMD_RECV, &recv), "RECV");
	return recv;
}

/* The handle a message carries lies behind its payload, at the next multiple of 8. */
static __u64 carried_handle(const struct peer *peer, const struct bus1_cmd_recv *recv)
{
	__u64 handle;
	memcpy(&handle, peer->pool + recv->msg.offset + (recv->msg.n_bytes + 7) / 8 * 8, sizeof handle);
	return handle;
}

static void done_with(const struct peer *peer, const struct bus1_cmd_recv *recv)
{
	__u64 offset = recv->msg.offset;
	check(ioctl(peer->fd, BUS1_CMD_SLICE_RELEASE, &offset), "SLICE_RELEASE");
}

static void run_service(const struct peer *service)
{
	__u64 callers[CLIENTS], node = SERVICE_NODE;
	for (int calls = 0; calls < CLIENTS; calls++) {
		struct bus1_cmd_recv request = receive(service);
		const char *text = service->pool + request.msg.offset;
		char reply[64];
		size_t i = 0;
		for (; text[i] && i < sizeof reply - 1; i++) reply[i] = toupper((unsigned char)text[i]);
		reply[i] = 0;
		callers[calls] = carried_handle(service, &request);
		say(service, "got \"%s\" from pid %u with handle 0x%llx to reply to", text, request.msg.pid, callers[calls]);
		send_text(service, &callers[calls], 1, reply, NULL);
		done_with(service, &request);
	}
	say(service, "sends one message to all %d handles, then destroys its node", CLIENTS);
	send_text(service, callers, CLIENTS, "closing time", NULL);
	struct bus1_cmd_nodes_destroy destroy = {
		.flags = BUS1_NODES_DESTROY_FLAG_RELEASE_HANDLES,
		.ptr_nodes = (uintptr_t)&node,
		.n_nodes = 1,
	};
	check(ioctl(service->fd, BUS1_CMD_NODES_DESTROY, &destroy), "NODES_DESTROY");
}

static void run_client(const struct peer *client, __u64 service)
{
	__u64 reply_to = REPLY_NODE;
	char request[64];
	snprintf(request, sizeof request, "hello from %s", client->name);
	say(client, "calls handle 0x%llx: \"%s\"", service, request);
	send_text(client, &service, 1, request, &reply_to);
	for (;;) {
		struct bus1_cmd_recv message = receive(client);
		switch (message.msg.type) {
		case BUS1_MSG_DATA:
			say(client, "got \"%s\" at its node 0x%llx, in its own pool at offset %llu",
			    client->pool + message.msg.offset, message.msg.destination, message.msg.offset);
			done_with(client, &message);
			break;
		case BUS1_MSG_NODE_DESTROY:
			say(client, "was told that the node behind handle 0x%llx is gone; goodbye", message.msg.destination);
			return;
		case BUS1_MSG_NODE_RELEASE:
			say(client, "was told that nobody holds its node 0x%llx any more", message.msg.destination);
			break;
		}
	}
}

int main(int argc, char **argv)
{
	const char *device = argc > 1 ? argv[1] : "/dev/bus1";
	int failed = 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct peer service = peer_open(device, "service");
	for (int i = 1; i <= CLIENTS; i++) {
		char name[16];
		snprintf(name, sizeof name, "client %d", i);
		struct peer client = peer_open(device, name);
		struct bus1_cmd_handle_transfer transfer = { .src_handle = SERVICE_NODE, .dst_fd = client.fd };
		check(ioctl(service.fd, BUS1_CMD_HANDLE_TRANSFER, &transfer), "HANDLE_TRANSFER");
		pid_t child = fork();
		check(child, "fork");
		if (child == 0) {
			close(service.fd);
			run_client(&client, transfer.dst_handle);
			return 0;
		}
		close(client.fd);
		close(client.epoll);
	}
	run_service(&service);
	for (int i = 0; i < CLIENTS; i++) {
		int status;
		check(wait(&status), "wait");
		failed |= status;
	}
	if (!failed) say(&service, "all clients have left");
	return failed ? 1 : 0;
}
