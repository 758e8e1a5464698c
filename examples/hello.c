/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello: one process, two peers, one message.
 *
 *	cc -Wall -Wextra -I$(bus1fs include-dir) hello.c -o hello
 *	./hello [DEVICE]	default /dev/bus1
 *
 * A message goes from a peer to a node, by way of a handle. Here the receiver makes the node, gives the sender a handle
 * to it, and reads what arrives from its pool.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include <linux/bus1.h>

enum { POOL_SIZE = 1 << 20 }; /* how much of the pool we map; a pool has room for 512 MiB */

/* The owner of a node chooses its id: any number whose two lowest bits are 0. */
#define NODE 0x10

static void check(int result, const char *what)
{
	if (result < 0) err(1, "%s", what);
}

/* Every open() makes a new peer. */
static int peer_open(const char *device)
{
	int peer = open(device, O_RDWR | O_CLOEXEC);

	check(peer, device);
	return peer;
}

int main(int argc, char **argv)
{
	const char *device = argc > 1 ? argv[1] : "/dev/bus1";
	int sender = peer_open(device), receiver = peer_open(device);

	/* What a peer receives lies in its pool, which can be mapped like a file, for reading. */
	const char *pool = mmap(NULL, POOL_SIZE, PROT_READ, MAP_SHARED, receiver, 0);
	if (pool == MAP_FAILED) err(1, "mmap");

	/* Using an id for the first time makes the node. The sender's handle gets an id too, from the bus. */
	struct bus1_cmd_handle_transfer transfer = { .src_handle = NODE, .dst_fd = sender };
	check(ioctl(receiver, BUS1_CMD_HANDLE_TRANSFER, &transfer), "HANDLE_TRANSFER");
	__u64 handle = transfer.dst_handle;
	printf("the receiver calls its node 0x%x; the sender calls its handle to it 0x%llx\n", NODE, handle);

	/* The payload is gathered from any number of pieces. When SEND returns, the message is in the receiver's queue. */
	char text[] = "hello, ", name[] = "bus1";
	struct iovec pieces[] = { { text, strlen(text) }, { name, strlen(name) } };
	struct bus1_cmd_send send = {
		.ptr_destinations = (uintptr_t)&handle,
		.n_destinations = 1,
		.ptr_vecs = (uintptr_t)pieces,
		.n_vecs = 2,
	};
	check(ioctl(sender, BUS1_CMD_SEND, &send), "SEND");

	/* RECV never waits; see call.c for poll(). It takes no message that reaches beyond what we have mapped. */
	struct bus1_cmd_recv recv = { .max_offset = POOL_SIZE };
	check(ioctl(receiver, BUS1_CMD_RECV, &recv), "RECV");
	printf("received \"%.*s\" at node 0x%llx from uid %u, pid %u\n", (int)recv.msg.n_bytes, pool + recv.msg.offset,
	       recv.msg.destination, recv.msg.uid, recv.msg.pid);

	/* The message's slice of the pool is ours until we give it back. */
	__u64 offset = recv.msg.offset;
	check(ioctl(receiver, BUS1_CMD_SLICE_RELEASE, &offset), "SLICE_RELEASE");

	/* The last close() of a peer destroys its nodes. Who has a handle to one of them is told. */
	close(receiver);
	recv = (struct bus1_cmd_recv){ .max_offset = POOL_SIZE };
	check(ioctl(sender, BUS1_CMD_RECV, &recv), "RECV");
	if (recv.msg.type != BUS1_MSG_NODE_DESTROY) errx(1, "unexpected message of type %llu", recv.msg.type);
	printf("the node behind handle 0x%llx is gone\n", recv.msg.destination);
	close(sender);
	return 0;
}
