# Sourced by the tests of the bindings: an interpreter, which isn't sanitized, under a library that is.
# shellcheck shell=bash
# SANITIZED and CC are the Makefile's. What the sanitizers say goes to $1/asan.PID, also that of keepers and workers.
# with_sanitizer DIRECTORY: sets the array `preload`, to be put before an interpreter; in an ordinary build it is empty.
# faults DIRECTORY: prints what is ours in there, and fails if there is something: every error, and leaks whose first frames
# are the library's or a module's. The interpreters keep memory of their own until their end.
preload=()

with_sanitizer() {
	[[ ${SANITIZED-} == *address* ]] || return 0
	# shellcheck disable=SC2034,SC2086 # for the scripts; CC may be "ccache gcc"
	preload=(env "LD_PRELOAD=$($CC -print-file-name=libasan.so)" PYTHONMALLOC=malloc CONEX_LEAK_CHECK=1
		"ASAN_OPTIONS=detect_leaks=1:leak_check_at_exit=${2:-1}:exitcode=0:abort_on_error=1:log_path=$1/asan"
		"UBSAN_OPTIONS=print_stacktrace=1:log_path=$1/asan")
}

faults() {
	local logs=("$1"/asan.*)
	[ -e "${logs[0]}" ] || return 0
	awk '
		/ERROR: LeakSanitizer/ { next }
		/ERROR: AddressSanitizer|runtime error:/ { bad = 1; whole = 1 }
		whole { print FILENAME ": " $0; next }
		/^(Direct|Indirect) leak of / { text = $0; frames = 0; ours = 0; next }
		/^ +#[0-9]/ {
			text = text "\n" $0
			if (++frames <= 4 && /\.\.\/(lib|bindings)\/|libconex|_conex\.c|conex\/core/) ours = 1
		}
		/^$/ { if (ours) { print text; bad = 1 } ours = 0 }
		END { exit bad }' "${logs[@]}"
}
