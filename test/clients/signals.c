/*
 * Says "ready", then the number of every signal that it gets. Ends with status 7 after SIGTERM.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

int main(void)
{
	sigset_t all;

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* it blocks every other */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	puts("ready");
	for (;;) {
		fflush(stdout);
		int number = sigwaitinfo(&all, NULL);
		printf("%d\n", number);
		if (number == SIGTERM) return 7;
	}
}
