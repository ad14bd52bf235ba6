# What the parts share. A part is a script with a line "# title: ..." that reports what it found:
#   pass N            N tests passed
#   fail NAME         one test failed
#   skip NAME REASON  one test was not run
#   note TEXT         a line worth showing in the summary
# It is stopped by the first command that fails, which counts as a failed test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${POLKA_RESULTS:?is set by .ci/tests; run a part with ./polka test --only PART}"

pass() { printf 'pass\t%d\n' "$1" >>"$POLKA_RESULTS"; }
fail() { printf 'fail\t%s\n' "$1" | tee -a "$POLKA_RESULTS"; }
skip() { printf 'skip\t%s\t%s\n' "$1" "$2" | tee -a "$POLKA_RESULTS"; }
note() { printf 'note\t%s\n' "$1" >>"$POLKA_RESULTS"; }

maven() {
  # shellcheck disable=SC2086 # several arguments in one variable, on purpose
  mvn -B -ntp -Dstyle.color=never ${POLKA_MAVEN_ARGS:-} "$@"
}

platform=linux-x86_64
version=$(sed -n 's:^  <version>\(.*\)</version>$:\1:p' pom.xml | head -n 1)

# Makes the jars, unless `mvn verify` has just made them: it stops before where a test fails.
package_jars() {
  if ! grep -qs '^pass' target/polka/results/java || grep -q '^fail' target/polka/results/java; then
    maven -q -DskipTests package
  fi
}

# Counts the test cases of JUnit and GoogleTest reports.
junit() { # XML...
  awk '
    function attribute(name,   s) {
      s = $0
      if (!sub(".*[ ]" name "=\"", "", s)) return ""
      sub("\".*", "", s)
      gsub("&quot;", "\"", s); gsub("&lt;", "<", s); gsub("&gt;", ">", s); gsub("&#10;|\t", " ", s); gsub("&amp;", "\\&", s)
      return s
    }
    function finish() {
      if (name == "") return
      if (state == "pass") passed++
      else print state "\t" name (state == "skip" ? "\t" reason : "")
      name = ""
    }
    /<testcase / {
      finish()
      name = attribute("classname") "." attribute("name"); state = "pass"
      if (attribute("status") == "notrun") { state = "skip"; reason = "disabled" }
    }
    /<(failure|error)[ >]/ { state = "fail" }
    /<skipped[ \/>]/ && state != "fail" { state = "skip"; reason = attribute("message"); if (reason == "") reason = "no reason given" }
    END { finish(); print "pass\t" passed + 0 }' "$@" >>"$POLKA_RESULTS"
}

# Lines that a test prints as "NOTE: ..." reach the summary.
notes_of() { # LOG
  local line
  sed -n 's/^\(\[INFO\] \)\{0,1\}NOTE: //p' "$1" | while read -r line; do note "$line"; done
}
