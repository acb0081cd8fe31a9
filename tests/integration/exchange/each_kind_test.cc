// Whatever hangs off a table comes along as it would by hand: the same script
// runs on the same tables twice, once by the server itself and once by plan,
// copy, exchange and `finish`; what pg_dump prints afterwards, what the
// catalogs say, and the rows must be the same. (Where the server refuses to
// change a column because of the thing, it is made behind the script.)

#include "each_kind.h"

#include "pgrecast/base/text.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/catalog/settings.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/migration/planning.h"
#include "pgrecast/migration/state.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/twins.h"

#include "support/catalog_dump.h"
#include "support/process.h"
#include "support/schema_dump.h"
#include "support/test_database.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <regex>
#include <sstream>

namespace pgrecast::exchange {
namespace {

using Lines = std::vector<std::string>;

constexpr const char* kNameOfMigration = "Each \"kind\"";

struct Case {
  const Kind* kind;
  Kind::Script script;
};

// Each kind is read by pg_dump once, since the catalogs tell more; and on other
// servers than the usual one only this is tried.
bool is_last(const Case& one) {
  return one.kind->scripts < 2U * one.script;
}

void PrintTo(const Case& one, std::ostream* to) {
  *to << one.kind->sql;
}

const char* sql_of(Kind::Script script) {
  switch (script) {
    case Kind::kWidened:
      return "ALTER TABLE t ALTER v TYPE bigint";
    case Kind::kSwapped:
      return "ALTER TABLE t RENAME v TO other; ALTER TABLE t RENAME n TO v; "
             "ALTER TABLE t RENAME other TO n; ALTER TABLE t DROP spare; "
             "ALTER TABLE t ADD added int DEFAULT 4";
    default:
      return "ALTER TABLE t SET (fillfactor = 71)";
  }
}

// Of one side, when all is done.
struct Found {
  Lines dump;
  Lines catalogs;
  Lines rows;
};

class KindFixture : public ::testing::Test {
 protected:
  // One database for all: what differs between two sides is in schema s, or
  // falls with it.
  static void SetUpTestSuite() {
    database_ = std::make_unique<test::Database>(test::SharedCluster::get());
    owner_ = pg::quote_identifier(database_->role());
    test::Session superuser = database_->superuser_session();
    superuser.exec("SET allow_in_place_tablespaces = on");
    superuser.exec("CREATE TABLESPACE space LOCATION ''");
    superuser.exec(fmt::format(R"sql(
CREATE ROLE keeper; CREATE ROLE reader; CREATE ROLE second;
GRANT keeper, reader TO {0};
GRANT CREATE ON TABLESPACE space TO {0};
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
ALTER DATABASE {1} SET search_path = s, public)sql",
                               owner_,
                               pg::quote_identifier(database_->name())));
  }

  static void TearDownTestSuite() {
    reset();
    superuser().exec("DROP TABLESPACE space");
    admin_.reset();
    database_.reset();
    test::SharedCluster::get().session().exec(
        "DROP ROLE keeper, reader, second");
  }

  // One for all, as a new session costs more than most statements here.
  static test::Session& superuser() {
    if (!admin_) {
      admin_ = std::make_unique<test::Session>(database_->superuser_dsn());
    }
    admin_->exec("RESET ALL; RESET ROLE; DISCARD SEQUENCES");
    return *admin_;
  }

  // As the owner, who may RESET ROLE.
  static void exec(const std::string& sql) {
    test::Session& session = superuser();
    session.exec("SET ROLE " + owner_);
    session.exec(replaced(sql));
  }

  static std::string replaced(std::string sql) {
    const std::map<std::string, std::string> words = {{"@owner@", owner_},
                                                      {"@keeper@", "keeper"},
                                                      {"@reader@", "reader"},
                                                      {"@second@", "second"}};
    for (const auto& [word, by] : words) {
      for (auto at = sql.find(word); at != std::string::npos;
           at = sql.find(word, at + by.size())) {
        sql.replace(at, word.size(), by);
      }
    }
    return sql;
  }

  // Whatever the last side, or a test that failed, has left.
  static void reset() {
    superuser().exec(fmt::format(
        R"sql(
DO $$ DECLARE drop text; BEGIN
  FOR drop IN SELECT format('DROP PUBLICATION %I', pubname) FROM pg_publication
    UNION ALL SELECT format('DROP EVENT TRIGGER %I', evtname)
      FROM pg_event_trigger
    UNION ALL SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace
      WHERE nspname ~ '^(s|s2|pgrecast.*)$'
  LOOP EXECUTE drop; END LOOP; END $$;
CREATE SCHEMA s AUTHORIZATION {0}; CREATE SCHEMA s2 AUTHORIZATION {0};
GRANT USAGE, CREATE ON SCHEMA s TO keeper; GRANT USAGE ON SCHEMA s TO reader, second)sql",
        owner_));
  }

  static void by_hand(const Case& one, const std::string& script) {
    const Kind& kind = *one.kind;
    const bool behind =
        kind.made_after_widening && one.script == Kind::kWidened;
    if (behind || !try_by_hand(kind, script)) {
      reset();
      exec(kTable);
      exec(script);
      exec(kind.sql);
    }
    if (one.script == Kind::kSwapped) name_columns_of_indexes();
  }

  // As in an index that is made now: RENAME COLUMN leaves them as they are.
  static void name_columns_of_indexes() {
    test::Session& session = superuser();
    session.exec("SET allow_system_table_mods = on");
    for (const char* name :
         {"format('%s of %s', i.attnum, i.attname)", "t.attname"}) {
      session.exec(fmt::format(
          "UPDATE pg_attribute i SET attname = {} FROM pg_index x, "
          "pg_attribute "
          "t WHERE i.attrelid = x.indexrelid AND t.attrelid = x.indrelid AND "
          "t.attnum = x.indkey[i.attnum - 1] AND x.indrelid IN (SELECT oid "
          "FROM "
          "pg_class WHERE relnamespace = 's'::regnamespace)",
          name));
    }
  }

  // False: the server says "cannot alter type of a column used by ..".
  static bool try_by_hand(const Kind& kind, const std::string& script) {
    constexpr const char* kFeatureNotSupported = "0A000";
    reset();
    exec(kTable);
    exec(kind.sql);
    try {
      exec(script);
      return true;
    } catch (const test::SqlFailure& failure) {
      if (failure.sqlstate() != kFeatureNotSupported) throw;
      return false;
    }
  }

  void migrated(const Kind& kind, const std::string& sql);
  plan::Plan planned(const script::Script& script,
                     const migration::RunOptions& options);
  std::vector<ExchangeTable> build(const script::Script& script,
                                   plan::Plan& plan);
  static void copy(const plan::Plan& plan);
  void make_twins(const std::vector<ExchangeTable>& exchanged);
  void exchange(const std::vector<ExchangeTable>& tables);

  static Found found(const Case& one) {
    test::Session& session = superuser();
    Found found;
    // What ANALYZE fills is no definition's affair.
    for (const test::Row& row : session.query_rows(
             "SELECT DISTINCT stxrelid::regclass FROM pg_statistic_ext")) {
      session.exec("ANALYZE " + row[0]);
    }
    if (is_last(one)) {
      found.dump = test::schema_dump(database_->superuser_dsn(),
                                     "--exclude-schema='pgrecast*'");
    }
    found.catalogs = test::catalog_dump(session);
    for (const char* use : one.kind->uses) {
      test::Session& user = superuser();
      user.exec("SET ROLE " + owner_);
      found.rows.push_back(
          fmt::format("{}: {}", use, user.try_exec(replaced(use))));
    }
    superuser();
    for (const test::Row& relation : session.query_rows(
             "SELECT oid::regclass, relkind FROM pg_class WHERE relkind IN "
             "('r', 'm', 'S') AND relnamespace = 's'::regnamespace AND "
             "(relkind <> 'm' OR relispopulated)")) {
      for (const test::Row& row : session.query_rows(fmt::format(
               "SELECT {} FROM {} x ORDER BY 1",
               relation[1] == "S" ? "(last_value, is_called)::text" : "x::text",
               relation[0]))) {
        found.rows.push_back(relation[0] + ": " + row[0]);
      }
    }
    return found;
  }

  static std::unique_ptr<test::Database> database_;
  static std::unique_ptr<test::Session> admin_;
  static std::string owner_;

  std::unique_ptr<pg::Connection> connection_;
  migration::MigrationRecord record_;
  plan::Names names_;
  std::vector<plan::Twin> twins_;
};

std::unique_ptr<test::Database> KindFixture::database_;
std::unique_ptr<test::Session> KindFixture::admin_;
std::string KindFixture::owner_;

// As the phases `copying` and `indexing` do it.
void KindFixture::copy(const plan::Plan& plan) {
  pg::Connection data = pg::Connection::open(
      {.conninfo = database_->dsn(), .application = "pgrecast"}, "copy", {});
  catalog::apply_settings(data, plan.settings);
  for (const plan::TableTarget& target : plan.targets) {
    data.exec(fmt::format("INSERT INTO {} {} {}", target.shadow.quoted(),
                          target.select.insert_target(),
                          target.select.rows("true")));
    std::vector<plan::ShadowIndex> indexes = {target.key_index};
    indexes.insert(indexes.end(), target.indexes.begin(), target.indexes.end());
    for (const plan::ShadowIndex& index : indexes) {
      if (!index.create.empty()) data.exec(index.create);
      if (index.constraint) data.exec(*index.constraint);
      for (const std::string& then : index.then) data.exec(then);
    }
    data.exec("ANALYZE " + target.shadow.quoted());
  }
}

// As before each attempt at an exchange.
void KindFixture::make_twins(const std::vector<ExchangeTable>& exchanged) {
  std::vector<plan::TriedTable> tables;
  std::vector<catalog::Reshaped> shapes;
  for (const ExchangeTable& table : exchanged) {
    plan::TriedTable& one = tables.emplace_back();
    one.source = table.target->source;
    one.shadow = table.target->shadow;
    one.shape.source = table.source_oid;
    one.shape.target = table.shadow_oid;
    one.shape.renamed = table.renamed;
    shapes.push_back(one.shape);
  }
  twins_ = plan::read_twins(*connection_, shapes);
  pg::Transaction transaction(*connection_);
  for (const Refusal& refusal : plan::make_twins(*connection_, tables, names_,
                                                 twins_, record_.schemas)) {
    ADD_FAILURE() << refusal.what;
  }
  std::vector<catalog::Oid> oids;
  for (const plan::Twin& twin : twins_) {
    oids.push_back(
        catalog::find_relation(*connection_, twin.place.schema, twin.place.name)
            .value());
    if (!twin.materialized) continue;
    connection_->exec(fmt::format("REFRESH MATERIALIZED VIEW {}{}",
                                  twin.place.quoted(),
                                  twin.populated ? "" : " WITH NO DATA"));
  }
  migration::insert_twins(*connection_, record_.name, oids, record_.schemas);
  transaction.commit();
}

plan::Plan KindFixture::planned(const script::Script& script,
                                const migration::RunOptions& options) {
  names_ = plan::make_names(options.name, 1);
  plan::Plan plan =
      migration::plan_migration(*connection_, script, names_, options, {}).plan;
  record_ = {.name = options.name,
             .id = "00000000-0000-0000-0000-000000000001",
             .script = options.script,
             .script_file = options.script_file,
             .settings = plan.settings,
             .schemas = {},
             .slot = names_.slot,
             .publication = names_.publication};
  return plan;
}

// As the phase `preparing`.
std::vector<ExchangeTable> KindFixture::build(const script::Script& script,
                                              plan::Plan& plan) {
  pg::Transaction transaction(*connection_);
  plan::build_shadows(*connection_, script, plan);
  record_.schemas = plan.schemas;
  migration::insert_migration(*connection_, record_);
  std::vector<ExchangeTable> tables;
  for (std::size_t i = 0; i < plan.targets.size(); ++i) {
    const plan::TableTarget& target = plan.targets[i];
    ExchangeTable table;
    table.target = &target;
    table.source_oid = plan.sources[i].oid;
    table.shadow_oid =
        catalog::find_relation(*connection_, target.shadow.schema,
                               target.shadow.name)
            .value();
    table.renamed = target.renamed;
    migration::insert_table(*connection_, record_.name, target,
                            table.source_oid, table.shadow_oid,
                            plan.fingerprints[i]);
    tables.push_back(std::move(table));
  }
  capture::create_publication(*connection_, names_.publication, plan.sources);
  transaction.commit();
  for (const plan::TableTarget& target : plan.targets) {
    prepare_guard(*connection_, target.retired.schema);
  }
  return tables;
}

// On a busy machine one attempt may take longer than a migration would allow.
void KindFixture::exchange(const std::vector<ExchangeTable>& tables) {
  Attempt done;
  for (int i = 0; i < 5 && done.outcome != Attempt::Outcome::kExchanged; ++i) {
    done = attempt_exchange(*connection_, tables,
                            {.budget = std::chrono::seconds(30),
                             .own_publication = names_.publication,
                             .twins = twins_},
                            {});
  }
  ASSERT_EQ(done.outcome, Attempt::Outcome::kExchanged) << done.reason;
  migration::do_afterwards(*connection_, done.afterwards);
}

// What the Runner and `finish` do, without the stream: nobody writes.
void KindFixture::migrated(const Kind& kind, const std::string& sql) {
  reset();
  exec(kTable);
  exec(kind.sql);
  connection_ = std::make_unique<pg::Connection>(pg::Connection::open(
      {.conninfo = database_->dsn(), .application = "pgrecast"}, "test", {}));
  migration::RunOptions options;
  options.conninfo = database_->dsn();
  options.script = sql;
  options.script_file = "test.sql";
  options.name = kNameOfMigration;
  options.state_dir = "/tmp";
  const script::Script script = migration::read_script(options, {});

  plan::Plan plan = planned(script, options);
  const std::vector<ExchangeTable> tables = build(script, plan);
  copy(plan);
  make_twins(tables);
  ASSERT_NO_FATAL_FAILURE(exchange(tables));
  capture::drop_publication(*connection_, names_.publication);
  migration::remove_retired(*connection_, record_);

  EXPECT_EQ(superuser().query_value(
                "SELECT count(*) FROM pg_namespace WHERE nspname ~ 'pgrecast'"),
            "0");
}

class EachKindTest : public KindFixture,
                     public ::testing::WithParamInterface<Case> {};

TEST_P(EachKindTest, ComesAlongAsByHand) {
  const Kind& kind = *GetParam().kind;
  const int version = test::SharedCluster::get().version();
  if (version < kind.since) GTEST_SKIP() << "not before " << kind.since;
  constexpr int kUsual = 15;
  if (version != kUsual && !is_last(GetParam())) {
    GTEST_SKIP() << "tried on the usual server alone";
  }
  const std::string script = sql_of(GetParam().script);
  ASSERT_NO_FATAL_FAILURE(by_hand(GetParam(), script));
  const Found hand = found(GetParam());

  ASSERT_NO_FATAL_FAILURE(migrated(kind, script));

  const Found ours = found(GetParam());
  const auto difference = [](const Lines& by_hand, const Lines& by_us) {
    return join(test::dump_difference(by_hand, by_us), "\n");
  };
  EXPECT_EQ(difference(hand.dump, ours.dump), "");
  EXPECT_EQ(difference(hand.catalogs, ours.catalogs), "");
  EXPECT_EQ(difference(hand.rows, ours.rows), "");
  EXPECT_GT(hand.catalogs.size(), 50U);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Kind& kind : kinds()) {
    for (const auto script : {Kind::kNothing, Kind::kWidened, Kind::kSwapped}) {
      if ((kind.scripts & script) != 0) {
        all.push_back({.kind = &kind, .script = script});
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kinds, EachKindTest, ::testing::ValuesIn(cases()),
                         [](const auto& tested) {
                           const Case& one = tested.param;
                           const std::string name = one.kind->name;
                           switch (one.script) {
                             case Kind::kWidened:
                               return name + "WhereAColumnIsWidened";
                             case Kind::kSwapped:
                               return name + "WhereColumnsSwapNames";
                             default:
                               return name + "WhereNothingOfItChanges";
                           }
                         });

// The first cell of each row of docs/reference/carried.md whose second says
// that the thing comes along.
Lines carried_rows() {
  std::istringstream manual(test::read_file(
      std::string(PGRECAST_TEST_SOURCE_DIR) + "/docs/reference/carried.md"));
  Lines rows;
  for (std::string line; std::getline(manual, line);) {
    static const std::regex kRow(
        "\\| ([^|]+) \\| (carried|made|replaced|altered|dropped and made).*");
    std::smatch cells;
    if (std::regex_match(line, cells, kRow)) rows.push_back(cells[1]);
  }
  return rows;
}

TEST(EachKind, EveryRowOfTheManualThatIsCarriedHasOne) {
  // Told where there are partitions, a provider of labels, a script that adds.
  Lines told = {"partitions of the table",
                "one partition by itself",
                "foreign keys of partitioned tables",
                "foreign keys to partitioned tables",
                "security labels of the table",
                "foreign keys that the script adds"};
  for (const Kind& kind : kinds()) {
    std::istringstream rows(kind.rows);
    for (std::string row; std::getline(rows, row, '|');) told.push_back(row);
  }
  const Lines rows = carried_rows();
  ASSERT_GT(rows.size(), 20U) << "the manual is written otherwise now";
  for (const std::string& row : rows) {
    EXPECT_TRUE(std::ranges::any_of(told, [&](const std::string& begin) {
      return row.starts_with(begin);
    })) << row;
  }
}

// Every word of such a definition means another column then; nothing fails.
TEST_F(KindFixture, ReadersByPlaceAreRefusedWhereColumnsMove) {
  Kind kind;
  kind.sql = "CREATE VIEW by_place AS SELECT x.b, x.c FROM t AS x(a, b, c)";
  try {
    migrated(kind,
             "CREATE TABLE t (id int PRIMARY KEY, n int, v int, spare "
             "int, w text, fast int)");
    ADD_FAILURE() << "v and n change places";
  } catch (const Refused& refused) {
    EXPECT_THAT(refused.what(),
                ::testing::HasSubstr("view s.by_place names columns by their "
                                     "order"));
  }
}

}  // namespace
}  // namespace pgrecast::exchange
