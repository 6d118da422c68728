# Sourced by the tests here: runs tests.list in one layout, on each kernel.
# shellcheck shell=bash
# boot LAYOUT SERIES...: TAP, numbered through; what can't be had is skipped.
boot() {
	local layout=$1 series n=0 failed line
	shift
	for series in "$@"; do
		failed=0
		while IFS= read -r line; do
			case $line in
			1..0*) n=$((n + 1)) && echo "ok $n - $layout, Linux $series${line#1..0}" ;;
			1..*) ;;
			"ok "*) n=$((n + 1)) && echo "ok $n ${line#ok * }" ;;
			"not ok "*) n=$((n + 1)) failed=1 && echo "not ok $n ${line#not ok * }" ;;
			"# run.sh "*)
				if [ "$line" != "# run.sh 0" ] && [ $failed = 0 ]; then
					n=$((n + 1)) && echo "not ok $n - $layout, Linux $series: run.sh failed"
				fi
				;;
			*) echo "$line" ;;
			esac
		done < <(bash "$CX_SRCDIR/tests/vm/run.sh" "$layout" -k "$series" 2>&1; echo "# run.sh $?")
	done
	echo "1..$n"
}
