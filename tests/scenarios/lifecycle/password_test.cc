// A password is seen by nobody: not by ps, not in a log, not in an error.

#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>

#include <csignal>
#include <fstream>
#include <string>

namespace pgrecast::test {
namespace {

// With a blank and a quote, as conninfo strings and URIs write them.
constexpr const char* kPassword = "open sesame'tis me";
constexpr const char* kQuoted = R"('open sesame\'tis me')";
constexpr const char* kPercent = "open%20sesame%27tis%20me";
// What must not be seen, in any of these forms.
constexpr const char* kPart = "sesame";

class PasswordTest : public Lifecycle {
 protected:
  void SetUp() override {
    Lifecycle::SetUp();
    Session superuser = superuser_session();
    superuser.exec(
        fmt::format("SET password_encryption = 'scram-sha-256';"
                    "ALTER ROLE \"{}\" PASSWORD '{}'",
                    database().role(), "open sesame''tis me"));
    hba_file_ = superuser.query_value("SHOW hba_file");
    hba_before_ = read_file(hba_file_);
    std::ofstream(hba_file_) << fmt::format(
                                    "local all \"{}\" scram-sha-256\n"
                                    "local replication \"{}\" scram-sha-256\n",
                                    database().role(), database().role())
                             << hba_before_;
    superuser.exec("SELECT pg_reload_conf()");
    ASSERT_TRUE(eventually([&] { return !connects(dsn()); }));
    ASSERT_TRUE(connects(conninfo(kQuoted)));
  }
  void TearDown() override {
    std::ofstream(hba_file_) << hba_before_;
    superuser_session().exec("SELECT pg_reload_conf()");
    EXPECT_TRUE(eventually([&] { return connects(dsn()); }));
    Lifecycle::TearDown();
  }

  static bool connects(const std::string& conninfo) {
    try {
      const Session session(conninfo);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  std::string conninfo(const std::string& password) const {
    return dsn() + " password=" + password;
  }
  std::string uri(const std::string& password) {
    return fmt::format("postgresql://{}:{}@/{}?host={}", database().role(),
                       password, database().name(),
                       database().cluster().folder());
  }

  void expect_unseen(const Program& program) {
    EXPECT_EQ(program.output().find(kPart), std::string::npos)
        << program.output();
  }
  static std::string command_line(const Program& program) {
    return read_file(fmt::format("/proc/{}/cmdline", program.pid()));
  }

  void run_unseen(const std::string& with_password) {
    Program run({"run", "--dsn", with_password, script(), "--state-dir",
                 state_dir(), "--yes", "--cutover", "manual", "--log-level",
                 "trace"});
    run.wait_for_output("migration ready migration=");
    EXPECT_EQ(command_line(run).find(kPart), std::string::npos)
        << command_line(run);
    EXPECT_NE(command_line(run).find(database().role()), std::string::npos);
    run.signal(SIGTERM);
    EXPECT_EQ(run.wait(), 4) << run.output();
    expect_unseen(run);
  }

 private:
  std::string hba_file_;
  std::string hba_before_;
};

TEST_F(PasswordTest, OfAConninfoIsSeenNowhere) {
  run_unseen(conninfo(kQuoted));
  run_unseen(dsn() + " password = " + kQuoted);
  Program abort({"abort", "--dsn", conninfo(kQuoted), "--state-dir",
                 state_dir(), "orders"});
  EXPECT_EQ(abort.wait(), 0) << abort.output();
}

TEST_F(PasswordTest, OfAUriIsSeenNowhere) {
  run_unseen(uri(kPercent));
  run_unseen(fmt::format("postgresql://{}:nothing@/{}?host={}&password={}",
                         database().role(), database().name(),
                         database().cluster().folder(), kPercent));
  Program abort({"abort", "--dsn=" + uri(kPercent), "--state-dir", state_dir(),
                 "orders"});
  EXPECT_EQ(abort.wait(), 0) << abort.output();
}

TEST_F(PasswordTest, AWrongOneIsNotRepeatedInTheError) {
  for (const std::string& wrong :
       {conninfo("'not open sesame'"), uri("notopensesame")}) {
    Program run({"run", "--dsn", wrong, script(), "--state-dir", state_dir(),
                 "--log-level", "trace"});
    const int code = run.wait();
    EXPECT_NE(code, 0);
    EXPECT_NE(code, 1) << run.output();
    EXPECT_NE(run.err().find("password authentication failed"),
              std::string::npos)
        << run.err();
    expect_unseen(run);
  }
}

TEST_F(PasswordTest, AMisspeltDsnIsNotRepeatedInTheError) {
  for (const std::string& wrong :
       {std::string("hots=/tmp password=opensesame"),
        std::string("postgresql://me:opensesame@/x?hots=/tmp"),
        std::string("host=/tmp password='opensesame"),
        std::string("host=/tmp password=open opensesame"),
        std::string("postgresql://me:%zzsesame@/x")}) {
    Program run({"status", "--dsn", wrong});
    EXPECT_EQ(run.wait(), 2) << run.output();
    expect_unseen(run);
  }
}

}  // namespace
}  // namespace pgrecast::test
