// Runs a command and slows it down by a known share. A second process on the same CPU uses that
// share of the CPU time that the command uses. It sleeps while the command sleeps.
//
//   slowed SHARE COMMAND...
#include <signal.h>
#include <sys/prctl.h>

#include "machine.h"
#include "program.h"

int main(int count, char** words) {
  using namespace bench;
  if (count < 3) return 64;
  double share = atof(words[1]);
  pid_t command = getpid(), burner = fork();
  if (burner < 0) Fail("fork");
  if (burner > 0) {
    execvp(words[2], words + 2);
    Fail(words[2]);
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  double used = CpuOf(command), burnt = Seconds(CLOCK_PROCESS_CPUTIME_ID), debt = 0;
  while (getppid() == command) {
    timespec pause{0, 2'000'000};
    nanosleep(&pause, nullptr);
    double now = CpuOf(command);
    debt += share * (now - used);
    used = now;
    // Uses the process's own clock, so that its other CPU time counts, too.
    double own = Seconds(CLOCK_PROCESS_CPUTIME_ID), until = burnt + debt;
    while (own < until) own = Seconds(CLOCK_PROCESS_CPUTIME_ID);
    debt -= own - burnt;
    burnt = own;
  }
  return 0;
}
