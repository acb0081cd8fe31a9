// One table with at least one of everything that is carried over, migrated by
// an ordinary role while the application writes: to the table, through views,
// to tables that reference it. Compared before and after by pg_dump, where one
// can read the server, and by the catalogs themselves.

#include "scenarios/carried/kitchen_sink.h"

#include "scenarios/carried/operation.h"
#include "scenarios/carried/writers.h"
#include "support/catalog_dump.h"
#include "support/schema_dump.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>

namespace pgrecast::test {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAreArray;
using Lines = std::vector<std::string>;

class KitchenSinkTest : public Operation {
 protected:
  void SetUp() override {
    const std::string& name = database().name();
    const auto role = [&](const std::string& what) {
      return fmt::format("\"{} {}\"", what, name);
    };
    roles_ = {.owner = role("The Owner"),
              .keeper = role("keeper"),
              .reader = role("reader's"),
              .second = role("second"),
              .analyst = role("analyst"),
              .tablespace = role("space")};
    Session superuser = superuser_session();
    for (const std::string& created : all_roles()) {
      superuser.exec(fmt::format(
          "CREATE ROLE {0}; GRANT USAGE ON SCHEMA public TO {0}", created));
    }
    // BYPASSRLS since the table has FORCE ROW LEVEL SECURITY.
    superuser.exec(fmt::format(
        "GRANT {0}, {1}, {4}, {5} TO \"{2}\"; ALTER ROLE \"{2}\" BYPASSRLS; "
        "ALTER ROLE {5} BYPASSRLS; "
        "GRANT CREATE ON SCHEMA public TO {0}; "
        "GRANT CREATE ON DATABASE \"{3}\" TO {0}; "
        "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler",
        roles_.owner, roles_.keeper, database().role(), name, roles_.reader,
        roles_.analyst));
    superuser.exec("SET allow_in_place_tablespaces = on");
    superuser.exec(
        fmt::format("CREATE TABLESPACE {} LOCATION ''", roles_.tablespace));
    superuser.exec(fmt::format("GRANT CREATE ON TABLESPACE {} TO {}, {}",
                               roles_.tablespace, roles_.owner,
                               roles_.analyst));
    superuser.exec("SET ROLE " + roles_.owner);
    superuser.exec(kitchen_sink(cluster().version(), roles_));
    superuser.exec("RESET ROLE");
    publish();
    // It fires on our statements, and has no reason to mind.
    superuser.exec(
        "CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql "
        "AS 'BEGIN PERFORM FROM pg_event_trigger_ddl_commands(); END'; CREATE "
        "EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION "
        "public.watch()");
    // Whatever is made from here on gets these; what is carried must not.
    for (const std::string& creator :
         {roles_.owner, fmt::format("\"{}\"", database().role())}) {
      superuser.exec(fmt::format(
          "ALTER DEFAULT PRIVILEGES FOR ROLE {0} GRANT ALL ON TABLES TO {1}; "
          "ALTER DEFAULT PRIVILEGES FOR ROLE {0} GRANT ALL ON SEQUENCES TO "
          "PUBLIC; ALTER DEFAULT PRIVILEGES FOR ROLE {0} GRANT USAGE ON "
          "SCHEMAS "
          "TO {1}",
          creator, roles_.second));
    }
    superuser.exec("ANALYZE");
  }

  void TearDown() override {
    database().drop();
    Session superuser = cluster().session();
    superuser.exec("DROP TABLESPACE " + roles_.tablespace);
    for (const std::string& created : all_roles()) {
      superuser.exec(fmt::format("DROP OWNED BY {0}; DROP ROLE {0}", created));
    }
  }

  Lines all_roles() const {
    return {roles_.owner, roles_.keeper, roles_.reader, roles_.second,
            roles_.analyst};
  }

  void publish() {
    Session owner = session();
    owner.exec("CREATE PUBLICATION feed FOR TABLE \"the Sink\", parent");
    owner.exec("COMMENT ON PUBLICATION feed IS 'fed'");
    if (cluster().version() < 15) return;
    owner.exec(
        "CREATE PUBLICATION \"Part\" FOR TABLE \"the Sink\" (id, amount, kind) "
        "WHERE (id % 3 <> 0) WITH (publish = 'insert, update')");
    owner.exec(
        "CREATE PUBLICATION large FOR TABLE \"the Sink\" "
        "WHERE (amount > 50 AND fast = 3) WITH (publish = 'insert')");
  }

  // The same for the table and its twin; for the table in every way that there
  // is to write to it.
  void add_writers(Writers& writers) {
    const std::string begin =
        fmt::format("BEGIN; SET LOCAL ROLE {}; SELECT pg_advisory_xact_lock(",
                    roles_.owner);
    writers.add(4, [this, begin](Session& session, std::mt19937& random) {
      const auto old = static_cast<int>(random() % 2000) + 1;
      const int fresh = next_++;
      const auto both = [&](int id, const std::string& table,
                            const std::string& twin) {
        session.exec(fmt::format("{}{}); {}; {}; COMMIT", begin, id,
                                 fmt::format(fmt::runtime(table), id),
                                 fmt::format(fmt::runtime(twin), id)));
      };
      switch (random() % 9) {
        case 0:
          return both(fresh,
                      "INSERT INTO \"the Sink\" (id, amount, \"Quoted "
                      "\"\"Col\"\"\", up) VALUES ({}, 1, 'new', 3)",
                      "INSERT INTO twin VALUES ({}, 1, 'new')");
        case 1:
          return both(old, "DELETE FROM \"the Sink\" WHERE id = {}",
                      "DELETE FROM twin WHERE id = {}");
        case 2:
          return both(fresh, "INSERT INTO plain (id, kind) VALUES ({}, 'fine')",
                      "INSERT INTO twin VALUES ({}, 5, 'from the view')");
        case 3:
          return both(old, "UPDATE safe SET amount = amount + 1 WHERE id = {}",
                      "UPDATE twin SET amount = amount + 1 WHERE id = {}");
        case 4:
          return both(fresh, "INSERT INTO deep (more, amount) VALUES ({}, 6)",
                      "INSERT INTO twin VALUES ({}, 6, 'it''s')");
        case 5:
          return both(old, "DELETE FROM grouped WHERE id = {}", "SELECT {}");
        case 6:
          return both(old,
                      "INSERT INTO child (id, sink) SELECT nextval('ids'), id "
                      "FROM \"the Sink\" WHERE id = {}",
                      "SELECT {}");
        case 7:
          return both(old, "DELETE FROM child WHERE sink = {}", "SELECT {}");
        default:
          return both(old,
                      "UPDATE \"the Sink\" SET amount = amount + 1 WHERE id = "
                      "{}",
                      "UPDATE twin SET amount = amount + 1 WHERE id = {}");
      }
    });
  }

  // Runs the script to its end under load, and `finish`; answers what is
  // different afterwards.
  void migrate_under_load(const std::string& name, const std::string& script) {
    const Lines dumped = dump();
    const Lines was = catalogs();
    Writers writers(dsn());
    add_writers(writers);
    ASSERT_TRUE(writers.go_on(50));

    migrate(name, script);

    EXPECT_TRUE(writers.go_on(200));
    writers.stop();
    for (const auto& [state, count] : writers.refused()) {
      ADD_FAILURE() << state << ": " << count;
    }
    EXPECT_EQ(superuser_session().query_value(
                  "WITH sink AS (SELECT id, amount, \"Quoted \"\"Col\"\"\" "
                  "FROM public.\"the Sink\") SELECT (SELECT count(*) FROM "
                  "(TABLE sink EXCEPT ALL TABLE public.twin) a) + (SELECT "
                  "count(*) FROM (TABLE public.twin EXCEPT ALL TABLE sink) b)"),
              "0");
    EXPECT_EQ(superuser_session().query_value(
                  "SELECT count(*) > 10 FROM "
                  "pg_stats WHERE tablename = 'the Sink' AND schemaname = "
                  "'public'"),
              "t")
        << "the new table must be analyzed";
    command("finish", name);
    changed_ = dump_difference(was, catalogs());
    dump_changed_ = dump_difference(dumped, dump());
    can_dump_ = !dumped.empty();
  }

  Lines dump() {
    return schema_dump(superuser_dsn(), "--exclude-schema='pgrecast*'");
  }
  Lines catalogs() {
    Session superuser = superuser_session();
    return catalog_dump(superuser);
  }

  SinkRoles roles_;
  std::atomic<int> next_{2'000'000};
  Lines changed_;
  Lines dump_changed_;
  bool can_dump_ = false;
};

TEST_F(KitchenSinkTest, ComesAlongAsItIs) {
  migrate_under_load("same", "ALTER TABLE \"the Sink\" SET (fillfactor = 71)");

  EXPECT_THAT(
      changed_,
      ElementsAre(
          "- relation public.\"the Sink\": options = [\"autovacuum_enabled="
          "off\", \"fillfactor=70\", \"parallel_workers=2\"]",
          "+ relation public.\"the Sink\": options = [\"autovacuum_enabled="
          "off\", \"fillfactor=71\", \"parallel_workers=2\"]"));
  const std::string rest =
      "toast.autovacuum_vacuum_threshold='100', "
      "toast.log_autovacuum_min_duration='1000');";
  if (can_dump_) {
    EXPECT_THAT(dump_changed_,
                ElementsAre("- WITH (fillfactor='70', autovacuum_enabled=off, "
                            "parallel_workers='2', " +
                                rest,
                            "+ WITH (autovacuum_enabled=off, "
                            "parallel_workers='2', fillfactor='71', " +
                                rest));
  }
}

TEST_F(KitchenSinkTest, ComesAlongWhereAColumnChangesItsType) {
  migrate_under_load("wide",
                     "ALTER TABLE \"the Sink\" ALTER amount TYPE bigint");

  // The server prints another cast; nothing else of a condition is another.
  const auto trigger = [](const std::string& number) {
    return "CREATE TRIGGER \"Before!\" BEFORE UPDATE OF amount, kind ON "
           "public.\"the Sink\" FOR EACH ROW WHEN (((old.amount IS DISTINCT "
           "FROM new.amount) AND ((new.amount % " +
           number + ") = 0))) EXECUTE FUNCTION public.note('it''s', 'a\\b')";
  };
  const std::string of = "trigger \"Before!\" on public.\"the Sink\": def = ";
  Lines became;
  std::erase_if(changed_, [&](const std::string& line) {
    const auto end = line.find(": type = bigint");
    if (line.starts_with("+ column ") && end != std::string::npos) {
      became.push_back(line.substr(9, end - 9));
    }
    return line.starts_with("- column ") && line.ends_with(": type = integer");
  });
  std::erase_if(changed_, [](const std::string& line) {
    return line.starts_with("+ column ") && line.ends_with(": type = bigint");
  });
  EXPECT_THAT(changed_, ElementsAre("- " + of + trigger("50"),
                                    "+ " + of + trigger("(50)::bigint")));
  Lines widened = {"\"other Schema\".\"per Kind!\".amount",
                   "\"other Schema\".\"per Kind\".amount",
                   "\"other Schema\".never.amount",
                   "\"other Schema\".theirs.amount",
                   "public.\"On Safe\".more",
                   "public.\"the Sink\".amount",
                   "public.clustered.amount",
                   "public.deep.amount",
                   "public.deep.more",
                   "public.deeper.most",
                   "public.grouped.amount",
                   "public.part.amount",
                   "public.safe.amount",
                   "public.u_self.amount"};
  if (cluster().version() >= 15) widened.emplace_back("public.invoker.amount");
  EXPECT_THAT(became, UnorderedElementsAreArray(widened));
  if (can_dump_) {
    EXPECT_THAT(
        dump_changed_,
        ElementsAre("- " + trigger("50") + ";", "- NULL::integer AS amount",
                    "- amount integer DEFAULT 5 NOT NULL",
                    "+ " + trigger("(50)::bigint") + ";",
                    "+ NULL::bigint AS amount",
                    "+ amount bigint DEFAULT 5 NOT NULL"));
  }
}

class TemporalKeyTest : public Operation {};

// A temporal key's "equal" is "overlaps" in its last column: not a key of rows.
TEST_F(TemporalKeyTest, IsRefusedByName) {
  if (cluster().version() < 18) GTEST_SKIP() << "no WITHOUT OVERLAPS before 18";
  session().exec(
      "CREATE TABLE t (r int4range, during int4range, v int, CONSTRAINT "
      "temporal PRIMARY KEY (r, during WITHOUT OVERLAPS))");
  std::string said;

  EXPECT_EQ(plan("temporal", "ALTER TABLE t ALTER v TYPE bigint", &said), 3);

  EXPECT_NE(said.find("its key is the index temporal, but"), std::string::npos)
      << said;
}

}  // namespace
}  // namespace pgrecast::test
