// What a person sees at a terminal: the question before a run, the bar, and a
// status that is watched.

#include "support/terminal.h"

#include "support/eventually.h"
#include "support/program.h"
#include "support/test_database.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

namespace pgrecast::test {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr const char* kQuestion = "Go on\\? \\[y/N\\] ";

// Every state of the line that is drawn anew again and again.
std::vector<std::string> drawn(const std::string& text) {
  const std::regex line("\r([^\r\n]+)\x1b\\[K");
  std::vector<std::string> lines;
  for (std::sregex_iterator at(text.begin(), text.end(), line), end; at != end;
       ++at) {
    lines.push_back(at->str(1));
  }
  return lines;
}

class OnATerminal : public TestDatabase {
 protected:
  void SetUp() override {
    session().exec("CREATE TABLE t (id int PRIMARY KEY, v text)");
  }

  TerminalProgram run(const std::vector<std::string>& environment,
                      const std::vector<std::string>& options = {}) const {
    std::vector<std::string> arguments{"run",
                                       "--dsn",
                                       dsn(),
                                       "--table",
                                       "t",
                                       "--alter",
                                       "ADD COLUMN w integer",
                                       "--name",
                                       "seen",
                                       "--state-dir",
                                       state_dir_,
                                       "--cutover",
                                       "manual"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return TerminalProgram(arguments, environment);
  }

  // It is named from then on.
  void wait_until_a_second_old(const Session& writer) const {
    Session superuser = superuser_session();
    EXPECT_TRUE(eventually([&] {
      return superuser.query_value(
                 "SELECT clock_timestamp() - xact_start > '1 s' FROM "
                 "pg_stat_activity WHERE pid = $1",
                 writer.backend_pid()) == "t";
    }));
  }

  bool nothing_made() const {
    return superuser_session().query_value(
               "SELECT (SELECT count(*) FROM pg_publication) + (SELECT "
               "count(*) FROM pg_namespace WHERE nspname ~ '^pgrecast')") ==
           "0";
  }

  std::string state_dir_ = cluster().folder() + "/state_" + database().name();
};

TEST_F(OnATerminal, OnlyYesIsYes) {
  struct Answer {
    std::string keys;
    const char* terminal;
  };
  for (const auto& [keys, terminal] :
       {Answer{"n\n", "TERM=xterm"}, Answer{"\n", "TERM=dumb"},
        Answer{"yet\n", "TERM=dumb"},
        Answer{TerminalProgram::kCtrlD, "TERM=dumb"}}) {
    SCOPED_TRACE(keys);
    TerminalProgram program = run({terminal, "NO_COLOR="});
    program.wait_for_text(kQuestion);

    program.type(keys);

    EXPECT_EQ(program.wait(), 3) << program.text();
    program.wait_for_text("pgrecast: not confirmed: nothing was made\r\n$");
    EXPECT_TRUE(nothing_made());
    const bool dumb = std::string(terminal) == "TERM=dumb";
    EXPECT_EQ(program.text().find('\x1b') == std::string::npos, dumb);
  }
}

// The signal was heard at once, and the line waited for all the same: it took
// an Enter to be rid of the question.
TEST_F(OnATerminal, CtrlCIsHeardAtTheQuestion) {
  TerminalProgram program = run({"TERM=xterm"});
  program.wait_for_text(kQuestion);

  program.type(TerminalProgram::kCtrlC);

  EXPECT_EQ(program.wait(Deadline::in(std::chrono::seconds(20))), 4)
      << program.text();
  EXPECT_TRUE(nothing_made());
}

TEST_F(OnATerminal, ABarFitsIntoTheLastLineAndShowsThePhase) {
  Session writer = session();
  writer.exec(
      "BEGIN; SELECT pg_current_xact_id(); SET application_name = "
      "'somebody with a very long name, so that it takes more'");
  TerminalProgram program = run({"TERM=xterm", "NO_COLOR=1"});
  program.wait_for_text(kQuestion);
  wait_until_a_second_old(writer);
  program.type("y\n");
  program.wait_for_text("\rpreparing [^\r]* waiting for ");
  writer.exec("COMMIT");
  program.wait_for_text("\rready ");

  program.type(TerminalProgram::kCtrlC);

  EXPECT_EQ(program.wait(), 4) << program.text();
  const std::vector<std::string> bar = drawn(program.text());
  // The last column stays free, as a terminal would wrap behind it.
  EXPECT_THAT(bar, Each(SizeIs(Le(79U))));
  EXPECT_THAT(bar, Contains(SizeIs(79U))) << "nothing had to be cut";
  EXPECT_THAT(bar, Contains(StartsWith("ready ")));
  // It is wiped off at the end, and there are no colours.
  EXPECT_THAT(program.text(), HasSubstr("\r\x1b[K"));
  EXPECT_FALSE(std::regex_search(program.text(), std::regex("\x1b\\[[0-9]*m")));

  // Begun anew, it once went on showing the phase that it had been in.
  writer.exec("BEGIN; SELECT pg_current_xact_id()");
  TerminalProgram again = run({"TERM=xterm"}, {"--restart"});
  again.wait_for_text(kQuestion);
  wait_until_a_second_old(writer);
  again.type("y\n");
  again.wait_for_text(" waiting for ");
  EXPECT_THAT(drawn(again.text()).back(), StartsWith("preparing "));
  again.type(TerminalProgram::kCtrlC);
  EXPECT_EQ(again.wait(), 4) << again.text();
  writer.exec("COMMIT");
  Program abort({"abort", "--dsn", dsn(), "--state-dir", state_dir_, "seen"});
  EXPECT_EQ(abort.wait(), 0) << abort.output();
}

TEST_F(OnATerminal, AWatchedStatusIsDrawnInItsPlaceUntilCtrlC) {
  TerminalProgram program({"status", "--watch", "--dsn", dsn()}, {"TERM=xterm"},
                          60);
  program.wait_for_text("\x1b\\[Hno migrations[^]*\x1b\\[Hno migrations");

  program.type(TerminalProgram::kCtrlC);

  EXPECT_EQ(program.wait(), 0) << program.text();
  EXPECT_THAT(program.text(), Not(HasSubstr("resumes")));
}

}  // namespace
}  // namespace pgrecast::test
