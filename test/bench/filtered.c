/*
 * What a seccomp filter costs the calls it lets pass: prints the nanoseconds of a system call, an ioctl, and a disconnect of
 * a fresh peer, opening not counted.
 *
 *   filtered DEVICE 0|1        0 passes the disconnect an address, 1 passes NULL
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/bus1.h>

#define CALLS 2000000
#define DISCONNECTS 500

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int ends[2], available;
	__u64 zero = 0;
	uint64_t start = now(), in_disconnect = 0;
	if (argc != 3 || pipe(ends)) return 2;
	for (int i = 0; i < CALLS; i++) syscall(SYS_getppid);
	printf("%.2f ", (double)(now() - start) / CALLS);
	start = now();
	for (int i = 0; i < CALLS; i++) ioctl(ends[0], FIONREAD, &available);
	printf("%.2f ", (double)(now() - start) / CALLS);
	for (int i = 0; i < DISCONNECTS; i++) {
		int peer = open(argv[1], O_RDWR | O_CLOEXEC);
		start = now();
		if (ioctl(peer, BUS1_CMD_PEER_DISCONNECT, strcmp(argv[2], "1") ? &zero : NULL)) return 1;
		in_disconnect += now() - start;
		close(peer);
	}
	printf("%.2f\n", (double)in_disconnect / DISCONNECTS);
	return 0;
}
