/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call: a service that divides, and a client that calls it.
 *
 *	cc -Wall -Wextra -I$(bus1fs include-dir) call.c -o call
 *	./call [DEVICE]		default /dev/bus1
 *
 * The bus knows messages only; a call is two of them. The client makes a node for each call and sends a handle to it
 * along. The service answers to that handle and releases it. So each node stands for one call, and the bus tells how it
 * went even if no answer comes:
 *
 *	DATA at the call's node			the answer
 *	NODE_RELEASE of the call's node		the service let go of the handle without an answer
 *	NODE_DESTROY of the service's handle	the service has ended
 *
 * An answer is sent before its handle is released, and what happens first arrives first, so it is never overtaken.
 */
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
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/bus1.h>

enum {
	POOL_SIZE = 1 << 20,
	CALLS = 3,
	TIMEOUT_MS = 10000,
};
#define SERVICE_NODE 0x10

struct peer {
	int fd;
	const char *pool;
};

/* The payload of a call, and that of an answer. */
struct request {
	int dividend, divisor;
};
struct answer {
	long long quotient;
};

static void check(int result, const char *what)
{
	if (result < 0) err(1, "%s", what);
}

static struct peer peer_open(const char *device)
{
	struct peer peer = { .fd = open(device, O_RDWR | O_CLOEXEC) };

	check(peer.fd, device);
	peer.pool = mmap(NULL, POOL_SIZE, PROT_READ, MAP_SHARED, peer.fd, 0);
	if (peer.pool == MAP_FAILED) err(1, "mmap");
	return peer;
}

/* Sends a payload, and one handle or none, to one destination. */
static int send_message(int peer, __u64 destination, const void *payload, size_t size, const __u64 *handle)
{
	struct iovec vec = { (void *)payload, size };
	struct bus1_cmd_send send = {
		.ptr_destinations = (uintptr_t)&destination,
		.n_destinations = 1,
		.ptr_vecs = (uintptr_t)&vec,
		.n_vecs = 1,
		.ptr_handles = (uintptr_t)handle,
		.n_handles = handle ? 1 : 0,
	};

	return ioctl(peer, BUS1_CMD_SEND, &send);
}

/* Waits for the next message. Returns false if none comes in time. */
static bool receive(int peer, struct bus1_cmd_recv *recv)
{
	struct pollfd file = { .fd = peer, .events = POLLIN };

	for (;;) {
		int n = poll(&file, 1, TIMEOUT_MS);
		check(n, "poll");
		if (n == 0) return false;
		if (file.revents & POLLERR) errx(1, "the daemon of the bus has ended");
		*recv = (struct bus1_cmd_recv){ .max_offset = POOL_SIZE };
		if (ioctl(peer, BUS1_CMD_RECV, recv) == 0) return true;
		/* What poll() saw may have been taken back before RECV came to it. */
		if (errno != EAGAIN) err(1, "RECV");
	}
}

static void slice_release(int peer, const struct bus1_cmd_recv *recv)
{
	__u64 offset = recv->msg.offset;

	check(ioctl(peer, BUS1_CMD_SLICE_RELEASE, &offset), "SLICE_RELEASE");
}

/* ---- the service */

/* Who sends can put anything into a message. Nothing of it is taken on trust, and nothing of it may end the service. */
static void handle_request(const struct peer *service, const struct bus1_cmd_recv *recv)
{
	const char *slice = service->pool + recv->msg.offset;
	/* Handles lie behind the payload, at the next multiple of 8. */
	const char *handles = slice + (recv->msg.n_bytes + 7) / 8 * 8;
	struct request request;
	__u64 handle;

	for (__u64 i = 0; i < recv->msg.n_handles; i++) {
		memcpy(&handle, handles + i * sizeof handle, sizeof handle);
		if (handle == BUS1_HANDLE_INVALID) continue; /* its node was gone already when it was sent */
		if (i == 0 && recv->msg.n_bytes == sizeof request) {
			memcpy(&request, slice, sizeof request);
			/* A bug to learn from: for some requests there is no answer. */
			if (request.divisor) {
				struct answer answer = { (long long)request.dividend / request.divisor };
				/* The client may be gone, or have no room left: its loss. */
				if (send_message(service->fd, handle, &answer, sizeof answer, NULL) < 0) warn("answering");
			}
		}
		check(ioctl(service->fd, BUS1_CMD_HANDLE_RELEASE, &handle), "HANDLE_RELEASE");
	}
	slice_release(service->fd, recv);
}

/* Serves until nobody can call any more. */
static void run_service(const struct peer *service)
{
	struct bus1_cmd_recv recv;

	for (;;) {
		if (!receive(service->fd, &recv)) continue;
		if (recv.msg.type == BUS1_MSG_NODE_RELEASE) return;
		if (recv.msg.type == BUS1_MSG_DATA) handle_request(service, &recv);
	}
}

/* ---- the client */

static void start(const struct peer *client, __u64 service, const struct request *request)
{
	/* The address of a structure is a fine id: its lowest bits are 0, and a message at the node leads back to it. */
	__u64 node = (uintptr_t)request;

	check(send_message(client->fd, service, request, sizeof *request, &node), "SEND");
}

static void finish(const struct peer *client, const struct request *request, const char *result)
{
	__u64 node = (uintptr_t)request;
	struct bus1_cmd_nodes_destroy destroy = {
		.flags = BUS1_NODES_DESTROY_FLAG_RELEASE_HANDLES,
		.ptr_nodes = (uintptr_t)&node,
		.n_nodes = 1,
	};

	printf("%d / %d: %s\n", request->dividend, request->divisor, result);
	/* This takes back what the bus has yet to say about the node: nothing more arrives there. */
	check(ioctl(client->fd, BUS1_CMD_NODES_DESTROY, &destroy), "NODES_DESTROY");
}

static void run_client(const struct peer *client, __u64 service)
{
	static const struct request requests[CALLS] = { { 42, 6 }, { 1, 0 }, { 100, 7 } };

	/* All calls are made at once; the answers may come in any order. */
	for (int i = 0; i < CALLS; i++) start(client, service, &requests[i]);
	for (int n_done = 0; n_done < CALLS; n_done++) {
		struct bus1_cmd_recv recv;
		if (!receive(client->fd, &recv)) errx(1, "no answer within %d ms", TIMEOUT_MS);
		if (recv.msg.type == BUS1_MSG_NODE_DESTROY) errx(1, "the service has ended");

		const struct request *request = (const void *)(uintptr_t)recv.msg.destination;
		char result[32] = "no answer";
		if (recv.msg.type == BUS1_MSG_DATA) {
			struct answer answer;
			if (recv.msg.n_bytes != sizeof answer) errx(1, "a strange answer");
			memcpy(&answer, client->pool + recv.msg.offset, sizeof answer);
			snprintf(result, sizeof result, "%lld", answer.quotient);
			slice_release(client->fd, &recv);
		}
		finish(client, request, result);
	}
}

int main(int argc, char **argv)
{
	const char *device = argc > 1 ? argv[1] : "/dev/bus1";
	struct peer service = peer_open(device), client = peer_open(device);
	int status;

	/* The two processes meet by inheritance; see meet.c for those without a common parent. */
	struct bus1_cmd_handle_transfer transfer = { .src_handle = SERVICE_NODE, .dst_fd = client.fd };
	check(ioctl(service.fd, BUS1_CMD_HANDLE_TRANSFER, &transfer), "HANDLE_TRANSFER");
	pid_t child = fork();
	check(child, "fork");
	if (child == 0) {
		/* A peer ends with its last descriptor, so neither process may keep that of the other. */
		close(service.fd);
		run_client(&client, transfer.dst_handle);
		return 0;
	}
	close(client.fd);
	run_service(&service);
	check(waitpid(child, &status, 0), "waitpid");
	puts("the client has left, and so does the service");
	return status == 0 ? 0 : 1;
}
