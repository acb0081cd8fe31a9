#include "scenarios/carried/exchanged.h"

#include "pgrecast/base/error.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/catalog/settings.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/exchange/printed.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/plan.h"
#include "pgrecast/plan/twins.h"
#include "pgrecast/script/script.h"

#include "support/catalog_dump.h"
#include "support/schema_dump.h"

#include <regex>

namespace pgrecast::test {
namespace {

class Migration {
 public:
  Migration(Database& database, const std::string& text)
      : script_(script::Script::parse(text, "random.sql")),
        connection_(open(database, "control")) {}

  void run() {
    make_shadows();
    copy();
    build_indexes();
    exchange();
    finish();
  }

 private:
  static pg::Connection open(Database& database, std::string_view role) {
    pg::Endpoint endpoint;
    endpoint.conninfo = database.dsn();
    endpoint.application = "pgrecast random";
    return pg::Connection::open(endpoint, role, {});
  }

  void make_shadows() {
    const auto database = connection_
                              .exec(
                                  "SELECT oid FROM pg_catalog.pg_database "
                                  "WHERE datname = "
                                  "pg_catalog.current_database()")
                              .number<catalog::Oid>(0, 0);
    plan_ = plan::make_plan(connection_, script_,
                            plan::make_names("random", database));
    pg::Transaction transaction(connection_);
    plan::build_shadows(connection_, script_, plan_);
    capture::create_publication(connection_, plan_.names.publication,
                                plan_.sources);
    transaction.commit();
    for (std::size_t i = 0; i < plan_.targets.size(); ++i) {
      const plan::TableTarget& target = plan_.targets[i];
      const catalog::Oid shadow =
          catalog::find_relation(connection_, target.shadow.schema,
                                 target.shadow.name)
              .value();
      exchange::ExchangeTable table;
      table.target = &target;
      table.source_oid = plan_.sources[i].oid;
      table.shadow_oid = shadow;
      table.renamed = target.renamed;
      tables_.push_back(table);
      plan::TriedTable tried;
      tried.source = target.source;
      tried.shadow = target.shadow;
      tried.shape.source = plan_.sources[i].oid;
      tried.shape.target = shadow;
      tried.shape.renamed = target.renamed;
      shapes_.push_back(tried);
      exchange::prepare_guard(connection_, target.retired.schema);
    }
  }

  void with_settings(const std::string& statement) {
    pg::Transaction transaction(connection_);
    for (const auto& [name, value] : plan_.settings) {
      connection_.exec("SELECT pg_catalog.set_config($1, $2, true)",
                       {name, value});
    }
    connection_.exec(statement);
    transaction.commit();
  }

  void copy() {
    for (const plan::TableTarget& target : plan_.targets) {
      with_settings(fmt::format("INSERT INTO {} {} {}", target.shadow.quoted(),
                                target.select.insert_target(),
                                target.select.rows("true")));
    }
  }

  void build(const plan::ShadowIndex& index) {
    if (!index.create.empty()) connection_.exec(index.create);
    if (index.constraint) connection_.exec(*index.constraint);
    for (const std::string& statement : index.then) connection_.exec(statement);
  }

  void build_indexes() {
    for (const plan::TableTarget& target : plan_.targets) {
      build(target.key_index);
      for (const plan::ShadowIndex& index : target.indexes) build(index);
      connection_.exec("ANALYZE " + target.shadow.quoted());
    }
  }

  void make_twins(exchange::ExchangeOptions& options) {
    std::vector<catalog::Reshaped> shapes;
    for (const plan::TriedTable& table : shapes_) shapes.push_back(table.shape);
    auto twins = plan::read_twins(connection_, shapes);
    pg::Transaction transaction(connection_);
    auto refusals = plan::make_twins(connection_, shapes_, plan_.names, twins,
                                     plan_.schemas);
    if (!refusals.empty()) {
      throw std::runtime_error("behind the plan: " + refusals.front().what);
    }
    connection_.exec("SET LOCAL row_security = on");
    for (const plan::Twin& twin : twins) {
      if (!twin.materialized) continue;
      connection_.exec(fmt::format("REFRESH MATERIALIZED VIEW {}{}",
                                   twin.place.quoted(),
                                   twin.populated ? "" : " WITH NO DATA"));
    }
    transaction.commit();
    options.twins = std::move(twins);
  }

  // On a busy machine a lock may take longer than an attempt waits for it.
  exchange::Attempt attempt(const exchange::ExchangeOptions& options) {
    constexpr int kAttemptsMax = 20;
    exchange::Attempt done;
    for (int i = 0; i < kAttemptsMax; ++i) {
      done = exchange::attempt_exchange(connection_, tables_, options, {});
      if (done.outcome == exchange::Attempt::Outcome::kExchanged) return done;
    }
    throw std::runtime_error("not exchanged: " + done.reason);
  }

  void exchange() {
    exchange::ExchangeOptions options;
    options.own_publication = plan_.names.publication;
    make_twins(options);
    const exchange::Attempt done = attempt(options);
    capture::drop_publication(connection_, plan_.names.publication);
    for (const std::string& statement : done.afterwards) {
      connection_.exec(statement);
    }
  }

  void finish() {
    std::string tables;
    for (const plan::TableTarget& target : plan_.targets) {
      tables += (tables.empty() ? "" : ", ") + target.retired.quoted();
    }
    connection_.exec("DROP TABLE " + tables);
    for (const std::string& schema : plan_.schemas) {
      connection_.exec("DROP FUNCTION IF EXISTS " +
                       exchange::guard_function(schema));
      connection_.exec("DROP SCHEMA " + pg::quote_identifier(schema));
    }
  }

  script::Script script_;
  pg::Connection connection_;
  plan::Plan plan_;
  std::vector<exchange::ExchangeTable> tables_;
  std::vector<plan::TriedTable> shapes_;
};

using Lines = std::vector<std::string>;

// What the sequences say, and what each role sees in each relation.
void add_behaviour(Session& session, const std::vector<std::string>& readers,
                   Lines& lines) {
  session.exec("SET search_path = ''");
  for (const Row& row : session.query_rows(
           "SELECT c.oid::regclass::text, c.relkind FROM pg_class c JOIN "
           "pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', "
           "'v', 'm', 'S') AND n.nspname !~ '^(pg_|information_schema$)' "
           "ORDER BY 1")) {
    if (row[1] == "S") {
      const Row state =
          session.query_rows("SELECT last_value, is_called FROM " + row[0])[0];
      lines.push_back(
          fmt::format("sequence {} at {} {}", row[0], state[0], state[1]));
      continue;
    }
    for (const std::string& role : readers) {
      session.exec("SET ROLE " + role);
      std::string seen;
      try {
        seen = session.query_value(
            "SELECT count(*) || ' ' || coalesce(md5(string_agg(x.*::text, ' ' "
            "ORDER BY x.*::text)), '') FROM " +
            row[0] + " x");
      } catch (const SqlFailure& failure) {
        seen = failure.sqlstate();
      }
      session.exec("RESET ROLE");
      lines.push_back(fmt::format("{} sees in {}: {}", role, row[0], seen));
    }
  }
}

// By hand, columns of indexes keep their old names where those of the table are
// renamed; nothing goes by them.
void leave_out_names_of_index_columns(Session& superuser, Lines& lines) {
  Lines heads;
  for (const Row& row : superuser.query_rows(
           "SELECT format('column %I.%I.%I:', n.nspname, c.relname, "
           "a.attname), format('column %I.%I:', n.nspname, c.relname) FROM "
           "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN "
           "pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'i' AND "
           "n.nspname !~ '^pg_'")) {
    for (std::string& line : lines) {
      if (line.starts_with(row[0])) line.replace(0, row[0].size(), row[1]);
    }
  }
}

// They show newer rows from the exchange on, as carried.md says.
void refresh_all(Session& superuser) {
  for (const Row& row : superuser.query_rows(
           "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'm' "
           "AND c.relispopulated ORDER BY c.oid")) {
    superuser.exec("REFRESH MATERIALIZED VIEW " + row[0]);
  }
}

Lines everything(PgCluster& cluster, const std::string& database,
                 const std::vector<std::string>& readers) {
  Session superuser(cluster.dsn(database));
  superuser.exec("SET search_path = ''");
  refresh_all(superuser);
  Lines lines = catalog_dump(superuser);
  leave_out_names_of_index_columns(superuser, lines);
  for (std::string& line :
       schema_dump(cluster.dsn(database), "--exclude-schema='pgrecast*'")) {
    lines.push_back("dump: " + std::move(line));
  }
  add_behaviour(superuser, readers, lines);
  // ANALYZE is done for the new table (carried.md says nothing else of it).
  std::erase_if(lines, [](const std::string& line) {
    return line.starts_with("statistics ") &&
           line.find(": filled = ") != std::string::npos;
  });
  return lines;
}

// Where the server changes no type because of what reads the column: what is
// there, but for types and casts.
Lines without_types(const Lines& lines) {
  static const std::regex ints("\\b(integer|bigint|int4|int8)\\b");
  Lines all;
  for (const std::string& line : lines) {
    if (line.find(" sees in ") != std::string::npos) continue;
    all.push_back(
        exchange::without_casts(std::regex_replace(line, ints, "int")));
  }
  return all;
}

void copy_database(PgCluster& cluster, const std::string& from,
                   const std::string& to, const std::string& owner) {
  cluster.session().exec(fmt::format(
      R"(CREATE DATABASE "{}" TEMPLATE "{}" OWNER "{}"{})", to, from, owner,
      cluster.version() < 15 ? "" : " STRATEGY file_copy"));
}

// What the server refuses.
Lines run_by_hand(const std::string& dsn, const Lines& script) {
  Lines refused;
  Session session(dsn);
  for (const std::string& statement : script) {
    try {
      session.exec(statement);
    } catch (const SqlFailure& failure) {
      refused.push_back(statement + ": " + failure.what());
    }
  }
  return refused;
}

class Copy {
 public:
  explicit Copy(Database& of)
      : cluster_(of.cluster()), name_(of.name() + "-by-hand") {
    copy_database(cluster_, of.name(), name_, of.role());
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  ~Copy() {
    try {
      cluster_.session().exec("DROP DATABASE \"" + name_ + "\"");
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
  const std::string& name() const { return name_; }

 private:
  PgCluster& cluster_;
  std::string name_;
};

}  // namespace

void exchange_all(Database& database, const std::string& script) {
  Migration(database, script).run();
}

Comparison compare_with_by_hand(Database& database,
                                const std::vector<std::string>& script,
                                const std::vector<std::string>& readers) {
  PgCluster& cluster = database.cluster();
  Comparison comparison;
  const Copy copy(database);
  const Lines refused =
      run_by_hand(cluster.dsn(copy.name(), database.role()), script);
  bool comparable = true;
  for (const std::string& one : refused) {
    comparison.by_hand += one;
    comparable = comparable &&
                 one.find(" TYPE bigint: 0A000") != std::string::npos &&
                 one.find(", ALTER") == std::string::npos;
  }
  std::string text;
  for (const std::string& one : script) text += one + ";\n";
  try {
    exchange_all(database, text);
  } catch (const Refused& no) {
    for (const Refusal& refusal : no.refusals()) {
      comparison.refusals.push_back(refusal.what);
    }
    return comparison;
  } catch (const std::exception& error) {
    comparison.failure = error.what();
    return comparison;
  }
  if (!comparable) return comparison;
  comparison.compared = true;
  Lines by_hand = everything(cluster, copy.name(), readers);
  Lines exchanged = everything(cluster, database.name(), readers);
  if (!refused.empty()) {
    by_hand = without_types(by_hand);
    exchanged = without_types(exchanged);
  }
  comparison.differences = dump_difference(by_hand, exchanged);
  return comparison;
}

}  // namespace pgrecast::test
