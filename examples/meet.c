/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meet: two processes that have nothing to do with each other meet on the bus.
 *
 *	cc -Wall -Wextra -I$(bus1fs include-dir) meet.c -o meet
 *	./meet serve SOCKET [DEVICE]	in one terminal, container or user's session; default device /dev/bus1
 *	./meet visit SOCKET [DEVICE]	in another, any number of times
 *
 * Nothing on the bus has a name, so a first handle has to come from outside. The service waits at a Unix socket. For
 * each visitor it makes a new peer, puts a handle to its node in there, and sends that peer's descriptor over the socket:
 * a letter of introduction. The visitor moves the handle to a peer of its own and throws the letter away. From then on
 * the two talk over the bus alone, and further handles travel in messages.
 *
 * Who may connect to the socket may talk to the service: the mode of the socket file decides (umask, chmod).
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/bus1.h>

enum { POOL_SIZE = 1 << 20 };
#define SERVICE_NODE 0x10

/* Room for the one descriptor that comes with a letter. */
union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(int))];
};

static void check(int result, const char *what)
{
	if (result < 0) err(1, "%s", what);
}

static int peer_open(const char *device)
{
	int peer = open(device, O_RDWR | O_CLOEXEC);

	check(peer, device);
	return peer;
}

/* Gives the peer behind `to` a handle to what `from` calls `handle`. Returns the id it has there. */
static __u64 transfer(int from, __u64 handle, int to)
{
	struct bus1_cmd_handle_transfer transfer = { .src_handle = handle, .dst_fd = to };

	check(ioctl(from, BUS1_CMD_HANDLE_TRANSFER, &transfer), "HANDLE_TRANSFER");
	return transfer.dst_handle;
}

/* ---- the service */

/* Sends a letter: the descriptor of a peer, and the id of the handle in it. */
static void invite(int service, int listener, const char *device)
{
	int visitor = accept4(listener, NULL, NULL, SOCK_CLOEXEC), letter = peer_open(device);
	__u64 handle = transfer(service, SERVICE_NODE, letter);
	struct iovec vec = { &handle, sizeof handle };
	union control control = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct msghdr message = {
		.msg_iov = &vec,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control,
	};

	control.head.cmsg_len = CMSG_LEN(sizeof letter);
	memcpy(CMSG_DATA(&control.head), &letter, sizeof letter);
	/* A visitor that has left already is no reason to end. */
	if (visitor < 0 || sendmsg(visitor, &message, MSG_NOSIGNAL) < 0) warn("a visitor got no letter");
	/* The letter stays open on its way, though we close it. */
	close(letter);
	close(visitor);
}

/* Takes the next message. Returns false when nobody has a handle to the service any more. */
static bool receive(int service, const char *pool)
{
	struct bus1_cmd_recv recv = { .max_offset = POOL_SIZE };

	/* A notification can be taken back after poll() has seen it: here, if a new visitor came in between. */
	if (ioctl(service, BUS1_CMD_RECV, &recv) < 0) {
		if (errno == EAGAIN) return true;
		err(1, "RECV");
	}
	if (recv.msg.type == BUS1_MSG_NODE_RELEASE) return false;
	if (recv.msg.type != BUS1_MSG_DATA) errx(1, "unexpected message of type %llu", recv.msg.type);
	/* The bus vouches for uid and pid. A pid of 0 is that of a process we cannot see, as in another container. */
	printf("\"%.*s\" from uid %u, pid %u\n", (int)recv.msg.n_bytes, pool + recv.msg.offset, recv.msg.uid, recv.msg.pid);
	__u64 offset = recv.msg.offset;
	check(ioctl(service, BUS1_CMD_SLICE_RELEASE, &offset), "SLICE_RELEASE");
	return true;
}

static void serve(const struct sockaddr_un *address, const char *device)
{
	int service = peer_open(device), listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct pollfd files[] = { { .fd = service, .events = POLLIN }, { .fd = listener, .events = POLLIN } };
	const char *pool = mmap(NULL, POOL_SIZE, PROT_READ, MAP_SHARED, service, 0);

	if (pool == MAP_FAILED) err(1, "mmap");
	check(listener, "socket");
	check(bind(listener, (const struct sockaddr *)address, sizeof *address), address->sun_path);
	check(listen(listener, 16), "listen");
	printf("waiting at %s\n", address->sun_path);
	do {
		check(poll(files, 2, -1), "poll");
		if (files[0].revents & POLLERR) errx(1, "the daemon of the bus has ended");
		if (files[1].revents & POLLIN) invite(service, listener, device);
	} while (!(files[0].revents & POLLIN) || receive(service, pool));
	puts("the last visitor has left");
	check(unlink(address->sun_path), address->sun_path);
}

/* ---- a visitor */

/* Receives a letter. Returns the descriptor of the peer, and the id of the handle in it. */
static int receive_letter(int connection, __u64 *handle)
{
	struct iovec vec = { handle, sizeof *handle };
	union control control = { 0 };
	struct msghdr message = {
		.msg_iov = &vec,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control,
	};
	ssize_t size = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	int letter;

	check((int)size, "recvmsg");
	if (size != sizeof *handle || !head || head->cmsg_type != SCM_RIGHTS) errx(1, "that was no letter");
	memcpy(&letter, CMSG_DATA(head), sizeof letter);
	return letter;
}

static void visit(const struct sockaddr_un *address, const char *device)
{
	int visitor = peer_open(device), connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	__u64 handle;

	check(connection, "socket");
	check(connect(connection, (const struct sockaddr *)address, sizeof *address), address->sun_path);
	int letter = receive_letter(connection, &handle);
	close(connection);

	/* The service may still hold the letter open and could look into it, but not into a peer that we have opened. */
	handle = transfer(letter, handle, visitor);
	close(letter);

	struct iovec vec = { "hello from a visitor", 20 };
	struct bus1_cmd_send send = {
		.ptr_destinations = (uintptr_t)&handle,
		.n_destinations = 1,
		.ptr_vecs = (uintptr_t)&vec,
		.n_vecs = 1,
	};
	check(ioctl(visitor, BUS1_CMD_SEND, &send), "SEND");
	puts("sent");
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *device = argc > 3 ? argv[3] : "/dev/bus1";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 3 || strlen(argv[2]) >= sizeof address.sun_path) errx(2, "usage: meet serve|visit SOCKET [DEVICE]");
	strcpy(address.sun_path, argv[2]);
	if (!strcmp(argv[1], "serve")) serve(&address, device);
	else if (!strcmp(argv[1], "visit")) visit(&address, device);
	else errx(2, "serve or visit?");
	return 0;
}
