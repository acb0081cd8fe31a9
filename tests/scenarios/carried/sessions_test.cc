// What sessions that live through the exchange see of it, as
// docs/operating/sessions.md says.

#include "scenarios/carried/operation.h"
#include "scenarios/carried/writers.h"
#include "support/pooler.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>

namespace pgrecast::test {
namespace {

constexpr const char* kScript =
    "ALTER TABLE t ALTER v TYPE bigint, ADD more int DEFAULT 1";

class SessionsTest : public Operation {
 protected:
  void SetUp() override {
    session().exec(
        "CREATE TABLE t (id int PRIMARY KEY, v int, w text); "
        "INSERT INTO t SELECT g, g, repeat('x', 300) FROM "
        "generate_series(1, 3000) g; CREATE TABLE other (i int)");
  }

  Program ready() {
    Program run = start("lived", kScript, {"--cutover", "manual"});
    run.wait_for_output("phase changed.*phase=ready");
    return run;
  }

  void exchange(Program& run) {
    command("cutover", "lived");
    EXPECT_EQ(run.wait(), 0) << run.output();
  }

  // The run says whom it waits for; then `end` ends that, and it goes on.
  template <typename End>
  void expect_waits_for(Program& run, const std::string& whom, const End& end) {
    command("cutover", "lived");
    run.wait_for_output("not exchanged, backing off.*" + whom);
    EXPECT_EQ(session().query_value("SELECT count(*) FROM pg_attribute WHERE "
                                    "attrelid = 't'::regclass AND attname = "
                                    "'more'"),
              "0");
    end();
    EXPECT_EQ(run.wait(), 0) << run.output();
  }

  static std::string pid(const Session& session) {
    return fmt::format("pid {} ", session.backend_pid());
  }
};

TEST_F(SessionsTest, PreparedStatementsReadAndWriteTheNewTable) {
  Session app = session();
  app.exec("PREPARE by_name AS SELECT w FROM t WHERE id = $1");
  app.exec("PREPARE put AS INSERT INTO t (id, v) VALUES ($1, $2)");
  app.exec("PREPARE whole AS SELECT * FROM t WHERE id = $1");
  app.exec("PREPARE changed AS SELECT v FROM t WHERE id = $1");
  // As often as it takes for a plan that is kept.
  for (int i = 0; i < 7; ++i) {
    app.exec("EXECUTE by_name(1)");
    app.exec(fmt::format("EXECUTE put({}, 1)", 5000 + i));
    app.exec("EXECUTE whole(1)");
    app.exec("EXECUTE changed(1)");
  }
  Program run = ready();

  exchange(run);

  session().exec("UPDATE t SET w = 'new' WHERE id = 1");
  EXPECT_EQ(app.query_value("EXECUTE by_name(1)"), "new");
  app.exec("EXECUTE put(6000, 1)");
  EXPECT_EQ(session().query_value("SELECT more FROM t WHERE id = 6000"), "1");
  // Its result has other columns, or types: until it is prepared again.
  for (const char* statement : {"whole", "changed"}) {
    const std::string execute = fmt::format("EXECUTE {}(1)", statement);
    EXPECT_EQ(app.try_exec(execute), "0A000");
    EXPECT_EQ(app.try_exec(execute), "0A000");
  }
  app.exec("DEALLOCATE whole; PREPARE whole AS SELECT * FROM t WHERE id = $1");
  EXPECT_EQ(app.query_rows("EXECUTE whole(1)").at(0).size(), 4U);
}

TEST_F(SessionsTest, FunctionsGoOnByTheTablesName) {
  Session app = session();
  app.exec(R"sql(
CREATE FUNCTION newest() RETURNS text LANGUAGE plpgsql AS $$
DECLARE r record; whole t%ROWTYPE; one t.v%TYPE; BEGIN
  SELECT * INTO r FROM t WHERE id = 1;
  SELECT * INTO whole FROM t WHERE id = 1;
  SELECT v INTO one FROM t WHERE id = 1;
  UPDATE t SET w = 'seen' WHERE id = 2;
  RETURN concat_ws(' ', r.w, whole.w, one);
END $$;
CREATE FUNCTION plain() RETURNS bigint LANGUAGE sql
  AS 'SELECT max(v) FROM t')sql");
  app.exec("SELECT newest(), plain()");
  Program run = ready();

  exchange(run);

  session().exec("UPDATE t SET w = 'new', v = 5000000000 WHERE id = 1");
  EXPECT_EQ(app.query_value("SELECT plain()"), "5000000000");
  // A variable of the column's type keeps the type that it had when the
  // session first called the function; a new session has the new one.
  const std::string state = app.try_exec("SELECT newest()");
  EXPECT_EQ(state, "22003");
  EXPECT_EQ(session().query_value("SELECT newest()"), "new new 5000000000");
  session().exec("UPDATE t SET v = 7 WHERE id = 1");
  EXPECT_EQ(app.query_value("SELECT newest()"), "new new 7");
  EXPECT_EQ(session().query_value("SELECT w FROM t WHERE id = 2"), "seen");
  command("finish", "lived");
  EXPECT_EQ(app.query_value("SELECT newest()"), "new new 7");
}

TEST_F(SessionsTest, AnOpenCursorIsWaitedForAndNamed) {
  Session app = session();
  Session holder = session();
  holder.exec(
      "BEGIN; DECLARE kept CURSOR WITH HOLD FOR SELECT id, w FROM t "
      "ORDER BY id; COMMIT");
  Program run = ready();
  app.exec("BEGIN; DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id");
  app.exec("FETCH 5 FROM c");

  expect_waits_for(run, pid(app), [&] {
    EXPECT_EQ(app.query_value("FETCH 1 FROM c"), "6");
    app.exec("COMMIT");
  });

  // One WITH HOLD has its rows already.
  session().exec("DELETE FROM t");
  EXPECT_EQ(holder.query_rows("FETCH ALL FROM kept").size(), 3000U);
}

TEST_F(SessionsTest, ARepeatableReadReaderIsWaitedForAndNamed) {
  Session app = session();
  Program run = ready();
  // Has not looked at the table yet, and would find it as of the last round.
  app.exec("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM other");

  expect_waits_for(run, pid(app), [&] {
    session().exec("UPDATE t SET w = 'new' WHERE id = 1");
    EXPECT_NE(app.query_value("SELECT w FROM t WHERE id = 1"), "new");
    app.exec("COMMIT");
  });

  EXPECT_EQ(app.query_value("SELECT w FROM t WHERE id = 1"), "new");
}

TEST_F(SessionsTest, ARunningPgDumpIsWaitedForAndWhole) {
  if (cluster().version() > 15) GTEST_SKIP() << "no pg_dump for this server";
  Program run = ready();
  // Who does not read what it writes keeps it in its COPY.
  const std::string command =
      "pg_dump --data-only --table=t --dbname='" + dsn() + "'";
  const auto close = [](FILE* pipe) { return pclose(pipe); };
  FILE* dump = popen(command.c_str(), "r");  // NOLINT(cert-env33-c): a test
  ASSERT_NE(dump, nullptr);
  ASSERT_TRUE(eventually([&] {
    return session().query_value(
               "SELECT count(*) FROM pg_stat_activity WHERE application_name "
               "= 'pg_dump' AND wait_event = 'ClientWrite'") == "1";
  }));

  std::size_t rows = 0;
  expect_waits_for(run, "pg_dump", [&] {
    session().exec("INSERT INTO t VALUES (9999, 1, 'later')");
    std::array<char, 4096> line{};
    while (fgets(line.data(), line.size(), dump) != nullptr) {
      if (std::string(line.data()).find("xxxx") != std::string::npos) ++rows;
    }
    EXPECT_EQ(close(dump), 0);
  });

  EXPECT_EQ(rows, 3000U);
  EXPECT_EQ(session().query_value("SELECT count(*) FROM t"), "3001");
}

TEST_F(SessionsTest, PooledConnectionsGoOn) {
  const Pooler pooler(cluster().folder() + "/.s.PGSQL.5432");
  Writers writers(fmt::format("host={} dbname={} user={}", pooler.folder(),
                              database().name(), database().role()));
  std::atomic<int> next{10000};
  writers.add(3, [&](Session& session, std::mt19937& /*random*/) {
    const int id = next++;
    session.exec("INSERT INTO t (id, v) VALUES ($1, 1)", id);
    session.exec("BEGIN; UPDATE t SET w = 'both' WHERE id = " +
                 std::to_string(id) + "; SELECT * FROM t LIMIT 1; COMMIT");
  });
  ASSERT_TRUE(writers.go_on(20));
  Program run = ready();

  exchange(run);

  EXPECT_TRUE(writers.go_on(50));
  writers.stop();
  EXPECT_TRUE(writers.refused().empty());
  EXPECT_EQ(session().query_value("SELECT count(*) FROM t WHERE w = 'both'"),
            std::to_string(writers.done()));
}

}  // namespace
}  // namespace pgrecast::test
