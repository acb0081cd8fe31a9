// A server that lets nobody in who does not speak TLS, nor anybody who would
// not make sure that it is the one.

#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <fstream>
#include <string>

namespace pgrecast::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int kResumable = 4;

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (server_.session().query_value("SHOW ssl_library").empty()) {
      GTEST_SKIP() << "this server was built without TLS";
    }
    make_certificates();
    for (const auto& [setting, file] :
         {std::pair{"ssl_cert_file", "server.pem"},
          std::pair{"ssl_key_file", "server.key"}}) {
      server_.set(setting, path(file));
    }
    server_.set("ssl", "on");
    Session owner = database_.session();
    owner.exec(
        "CREATE TABLE t (id int PRIMARY KEY, v int);"
        "INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i");
    Session superuser = database_.superuser_session();
    superuser.exec(
        fmt::format("ALTER ROLE \"{}\" PASSWORD 'sesame'", database_.role()));
    std::ofstream(superuser.query_value("SHOW hba_file"))
        << "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    superuser.exec("SELECT pg_reload_conf()");
    std::ofstream(path("t.sql")) << "ALTER TABLE t ALTER v TYPE bigint";
  }

  std::string path(const std::string& file) const {
    return server_.folder() + "/" + file;
  }

  // Two authorities; the server's certificate is the first one's.
  void make_certificates() {
    const std::string make =
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
        "-nodes ";
    Program openssl = Program::command(
        {"/bin/sh", "-c",
         fmt::format(
             "set -e; cd {0};"
             "{1} -x509 -keyout ca.key -out ca.pem -subj /CN=ours;"
             "{1} -x509 -keyout other.key -out other.pem -subj /CN=other;"
             "{1} -keyout server.key -out server.csr -subj "
             "/CN=localhost;"
             "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key "
             "-CAcreateserial -out server.pem",
             server_.folder(), make)});
    ASSERT_EQ(openssl.wait(), 0) << openssl.output();
    give_to_postgres(path("server.key"));
    give_to_postgres(path("server.pem"));
  }

  std::string dsn(const std::string& host, const std::string& authority) {
    return fmt::format(
        "host={} hostaddr=127.0.0.1 port={} dbname={} user={} password=sesame "
        "sslmode=verify-full sslrootcert={}",
        host, server_.port(), database_.name(), database_.role(),
        path(authority));
  }

  Program start(const std::string& command, const std::string& dsn,
                const Program::Texts& options = {}) {
    Program::Texts arguments{command,       "--dsn",       dsn,
                             path("t.sql"), "--state-dir", path("state")};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return Program(arguments);
  }

  void expect_not_connected(const std::string& dsn, const std::string& words) {
    for (const char* command : {"plan", "run"}) {
      Program program = start(command, dsn);
      EXPECT_EQ(program.wait(), kResumable) << program.output();
      EXPECT_THAT(program.err(), HasSubstr(words));
      EXPECT_THAT(program.output(), Not(HasSubstr("sesame")));
    }
  }

  PgCluster server_{PgCluster::Settings{{"listen_addresses", "127.0.0.1"},
                                        {"port", PgCluster::free_port()}}};
  Database database_{server_};
};

TEST_F(TlsTest, EverySessionSpeaksIt) {
  expect_not_connected(dsn("localhost", "other.pem"),
                       "certificate verify failed");
  expect_not_connected(dsn("elsewhere", "ca.pem"),
                       "does not match host name \"elsewhere\"");

  const std::string right = dsn("localhost", "ca.pem");
  Program planned = start("plan", right);
  EXPECT_EQ(planned.wait(), 0) << planned.output();
  Program run = start("run", right,
                      {"--yes", "--cutover", "manual", "--log-level", "trace"});
  run.wait_for_output("phase=ready");
  Session superuser = database_.superuser_session();
  EXPECT_EQ(superuser.query_value(
                "SELECT bool_and(ssl) AND bool_or(backend_type = 'walsender') "
                "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE "
                "application_name LIKE 'pgrecast%'"),
            "t");
  superuser.exec("UPDATE t SET v = -v");
  Program cutover({"cutover", "--dsn", right, "t"});
  EXPECT_EQ(cutover.wait(), 0) << cutover.output();
  EXPECT_EQ(run.wait(), 0) << run.output();
  EXPECT_THAT(run.output(), Not(HasSubstr("sesame")));
  EXPECT_EQ(superuser.query_value("SELECT sum(v) || ' ' || pg_typeof(sum(v)) "
                                  "FROM t"),
            "-500500 numeric");
}

}  // namespace
}  // namespace pgrecast::test
