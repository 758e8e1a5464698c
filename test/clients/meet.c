/*
 * Two processes that share nothing but a Unix socket meet over bus1, as in two containers.
 *
 *   meet DEVICE SOCKET serve     waits at the socket, gives the visitor a handle, receives a message with a descriptor,
 *                                prints who sent it and writes to the descriptor
 *   meet DEVICE SOCKET visit     visits, sends, and prints what it reads from its pipe
 */
#include "bus1-test.h"
#include <sys/un.h>

static int at_socket(const char *path, bool is_server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	CHECK(fd >= 0);
	if (!is_server) {
		for (int i = 0; connect(fd, (void *)&address, sizeof address) < 0; i++) {
			CHECK(i < 1000);
			usleep(10000);
		}
		return fd;
	}
	CHECK(bind(fd, (void *)&address, sizeof address) == 0 && listen(fd, 1) == 0);
	return accept(fd, NULL, NULL);
}

int main(int argc, char **argv)
{
	CHECK(argc == 4);
	device = argv[1];
	bool is_server = !strcmp(argv[3], "serve");
	int peer = peer_open(), connection = at_socket(argv[2], is_server);
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	__u64 handle = 0;
	struct iovec vec = { &handle, sizeof handle };
	struct msghdr message = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct bus1_cmd_recv recv;
	if (is_server) {
		int visitor, fd;
		CHECK(recvmsg(connection, &message, 0) == sizeof handle);
		memcpy(&visitor, CMSG_DATA(&control.head), sizeof visitor);
		handle = give(peer, 8, visitor);
		close(visitor);
		CHECK(write(connection, &handle, sizeof handle) == sizeof handle);
		struct pollfd p = { peer, POLLIN, 0 };
		EXPECT(poll(&p, 1, 10000), 1);
		EXPECT(recv_flags(peer, &recv, BUS1_RECV_FLAG_INSTALL_FDS), 0);
		printf("uid %u pid %u text %.5s\n", recv.msg.uid, recv.msg.pid, (const char *)pool(peer) + recv.msg.offset);
		memcpy(&fd, pool(peer) + recv.msg.offset + 8, sizeof fd);
		CHECK(write(fd, "through the pipe\n", 17) == 17);
		return 0;
	}
	int ends[2];
	char text[64] = "";
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof peer) };
	memcpy(CMSG_DATA(&control.head), &peer, sizeof peer);
	CHECK(sendmsg(connection, &message, 0) == sizeof handle);
	CHECK(read(connection, &handle, sizeof handle) == sizeof handle);
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	vec = (struct iovec){ "hello", 5 };
	struct bus1_cmd_send send = {
		.ptr_destinations = (uintptr_t)&handle,
		.n_destinations = 1,
		.ptr_vecs = (uintptr_t)&vec,
		.n_vecs = 1,
		.ptr_fds = (uintptr_t)&ends[1],
		.n_fds = 1,
	};
	EXPECT(command(peer, BUS1_CMD_SEND, &send), 0);
	close(ends[1]);
	CHECK(read(ends[0], text, sizeof text - 1) > 0);
	fputs(text, stdout);
	return 0;
}
