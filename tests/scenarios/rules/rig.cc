#include "scenarios/rules/rig.h"

#include "pgrecast/base/error.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/capture/slot.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/copy/copier.h"
#include "pgrecast/script/script.h"

#include <cstdlib>
#include <filesystem>

namespace pgrecast::test {
namespace {

std::string make_folder() {
  std::string folder = "/tmp/pgrecast-rules-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    throw std::runtime_error("cannot make a folder in /tmp");
  }
  return folder;
}

}  // namespace

Rig::Rig(Database& database, const std::string& script)
    : database_(database),
      folder_(make_folder()),
      endpoint_({.conninfo = database.dsn(), .application = "pgrecast rig"}) {
  control_ = open("control");
  make_shadows(script);
  load_tables();
  start_receiver();
  data_ = open("data");
  catalog::apply_settings(*data_, plan_.settings);
  refresh::prefer_key_lookups(*data_);
  fence_ = open("fence");
}

Rig::~Rig() {
  stop_.request_stop();
  if (thread_.joinable()) thread_.join();
  receiver_.reset();
  buffer_.reset();
  data_.reset();
  fence_.reset();
  control_.reset();
  Session session = database_.session();
  session.exec("SET synchronous_commit = local");
  session.exec(
      "DROP PUBLICATION IF EXISTS " +
      session.query_value("SELECT quote_ident($1)", plan_.names.publication));
  eventually([&] {
    return session.try_exec("SELECT pg_drop_replication_slot($1)", slot()) !=
           "55006";
  });
  for (const std::string& schema : plan_.schemas) {
    session.exec("DROP SCHEMA " +
                 session.query_value("SELECT quote_ident($1)", schema) +
                 " CASCADE");
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

pg::Connection Rig::open(std::string_view role) {
  return pg::Connection::open(endpoint_, role, {});
}

void Rig::make_shadows(const std::string& text) {
  const auto database = control_
                            ->exec(
                                "SELECT oid FROM pg_catalog.pg_database WHERE "
                                "datname = pg_catalog.current_database()")
                            .number<catalog::Oid>(0, 0);
  const script::Script script = script::Script::parse(text, "rig.sql");
  plan_ = plan::make_plan(*control_, script, plan::make_names("rig", database));
  pg::Transaction transaction(*control_);
  plan::build_shadows(*control_, script, plan_);
  capture::create_publication(*control_, plan_.names.publication,
                              plan_.sources);
  transaction.commit();
}

void Rig::load_tables() {
  guard_.emplace("SELECT");
  for (const plan::TableTarget& target : plan_.targets) {
    plan::MigratedTable table;
    table.target = target;
    table.source = plan_.sources[tables_.size()];
    table.shadow_oid = catalog::find_relation(*control_, target.shadow.schema,
                                              target.shadow.name)
                           .value();
    codecs_.emplace_back(std::vector<ColumnForm>(
        table.source.key.value().columns.size(), ColumnForm::kRaw));
    guard_->add_source(target.source.quoted(), "SELECT true");
    tables_.push_back(std::move(table));
  }
}

void Rig::start_receiver() {
  pg::Connection replication =
      pg::Connection::open(endpoint_, "stream", stop_.get_token(),
                           pg::Connection::Kind::kReplication);
  const Lsn point =
      capture::create_slot(replication, slot(), Deadline::in(kPatience));
  BufferIdentity identity;
  identity.slot_name = slot();
  buffer_ = ChangeBuffer::create(folder_ + "/buffer", identity, point);
  xids_ = std::make_unique<capture::XidReference>(
      refresh::read_snapshot(*control_).xmax());
  fences_ = std::make_unique<capture::Fences>(slot(), *xids_);
  std::vector<capture::CapturedTable> captured;
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    capture::CapturedTable one{.oid = tables_[i].source.oid,
                               .id = tables_[i].target.ordinal,
                               .key_columns = {},
                               .codec = &codecs_[i]};
    for (const auto& column : tables_[i].source.key.value().columns) {
      one.key_columns.push_back(column.name);
    }
    captured.push_back(std::move(one));
  }
  receiver_.emplace(pg::ReplicationStream(std::move(replication), slot(),
                                          plan_.names.publication),
                    std::move(captured), *buffer_, *xids_, *fences_, status_);
  thread_ = std::jthread([this] {
    try {
      receiver_->run(stop_.get_token());
    } catch (const Stopped&) {
      // The ordinary end.
    } catch (const std::exception& error) {
      ADD_FAILURE() << "the receiver ended: " << error.what();
    }
  });
}

void Rig::copy_blocks(std::size_t table, std::int64_t first, std::int64_t end) {
  copy::copy_chunk(*data_, tables_.at(table), *guard_,
                   {.first = first, .end = end},
                   [](pg::Connection& /*session*/, std::int64_t /*rows*/) {});
}

void Rig::copy() {
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    copy_blocks(i, 0, catalog::count_blocks(*control_, tables_[i].source.oid));
  }
}

refresh::RoundResult Rig::settle(std::size_t keys_per_batch) {
  return rounds(keys_per_batch).settle(data());
}

void Rig::drain(Deadline deadline) {
  refresh::Rounds draining = rounds(kKeysPerBatch);
  pg::Transaction transaction(data());
  for (const plan::MigratedTable& table : tables_) {
    data().exec(fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
                            table.target.source.quoted()));
  }
  draining.drain(data(), deadline);
}

void Rig::index() {
  const auto build = [&](const plan::ShadowIndex& index) {
    if (!index.create.empty()) control_->exec(index.create);
    if (index.constraint) control_->exec(*index.constraint);
  };
  for (const plan::MigratedTable& table : tables_) {
    build(table.target.key_index);
  }
  exact();
  for (const plan::MigratedTable& table : tables_) {
    for (const plan::ShadowIndex& index : table.target.indexes) build(index);
  }
}

refresh::Rounds Rig::rounds(std::size_t keys_per_batch) {
  refresh::Rounds::Parts parts;
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    parts.tables.push_back({.table = &tables_[i],
                            .codec = &codecs_[i],
                            .statements = refresh::Statements(tables_[i])});
  }
  parts.buffer = &*buffer_;
  parts.gate = &gate_;
  parts.guard = &*guard_;
  parts.fence = [this](Deadline deadline, const std::function<bool()>& wanted) {
    if (on_fence) on_fence();
    fences_->pass(*fence_, deadline, {}, wanted);
  };
  parts.keys_per_batch = keys_per_batch;
  return refresh::Rounds(std::move(parts));
}

void Rig::pass_fence(pg::Connection& session, Deadline deadline) {
  fences_->pass(session, deadline, {});
}

verify::Pass Rig::pass(std::size_t table) {
  return verify::Pass({.table = &tables_.at(table),
                       .codec = &codecs_.at(table),
                       .buffer = &*buffer_,
                       .gate = &gate_,
                       .guard = &*guard_});
}

std::string Rig::encoded(std::size_t table,
                         const std::vector<std::string>& key) const {
  const std::vector<std::string_view> texts(key.begin(), key.end());
  std::string bytes;
  codecs_.at(table).encode(texts, bytes);
  return bytes;
}

bool Rig::is_dirty(std::size_t table,
                   const std::vector<std::string>& key) const {
  return buffer_
      ->is_dirty(tables_.at(table).target.ordinal, encoded(table, key))
      .has_value();
}

void Rig::mark_dirty(std::size_t table, const std::vector<std::string>& key) {
  buffer_->note_dirty(tables_.at(table).target.ordinal, encoded(table, key),
                      Xid64{});
}

pid_t Rig::wal_sender() const {
  Session session = database_.session();
  return std::stoi(session.query_value(
      "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1",
      slot()));
}

}  // namespace pgrecast::test
