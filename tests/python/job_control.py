"""What an interactive shell does around one job: puts it into the foreground, says how it ends, resumes it when it was suspended.
Run on a terminal; its arguments are the command."""

import os
import signal
import sys
import time


def say(line: str) -> None:
    """In one piece, since the job writes to the same terminal."""
    os.write(1, f"{line}\n".encode())


def main() -> None:
    # A process in the background may hand the terminal over only if it does not mind this signal.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        # Python ignores the latter two itself; a command does not.
        for number in (signal.SIGTTOU, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(sys.argv[1], sys.argv[1:])
    say(f"JOB {job}")
    while True:
        _, status = os.waitpid(job, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            break
        os.tcsetpgrp(0, os.getpgrp())
        say(f"STOPPED {os.WSTOPSIG(status)}")
        time.sleep(0.2)
        os.tcsetpgrp(0, job)
        os.killpg(job, signal.SIGCONT)
    os.tcsetpgrp(0, os.getpgrp())
    say(f"END {os.waitstatus_to_exitcode(status)}")


main()
