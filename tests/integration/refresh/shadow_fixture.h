#pragma once

#include "pgrecast/buffer/change_buffer.h"
#include "pgrecast/buffer/forget_gate.h"
#include "pgrecast/capture/fences.h"
#include "pgrecast/capture/publication.h"
#include "pgrecast/capture/receiver.h"
#include "pgrecast/capture/slot.h"
#include "pgrecast/catalog/settings.h"
#include "pgrecast/catalog/source_guard.h"
#include "pgrecast/copy/copier.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/migrated_table.h"
#include "pgrecast/plan/plan.h"
#include "pgrecast/refresh/round.h"

#include "support/test_database.h"

#include <gtest/gtest.h>

#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pgrecast::test {

// A migration's parts, put together by hand as the runner does it, so that each
// can be driven step by step: tables in schema public, their shadows without
// indexes, publication, slot, change buffer and a receiver on a thread.
class ShadowFixture : public TestDatabase {
 protected:
  // begin() makes everything but the shadows' rows.
  void begin(const std::string& setup, const std::string& script) {
    Session session = this->session();
    session.exec(setup);
    control_ = open("control");
    const script::Script parsed = script::Script::parse(script, "test.sql");
    plan_ = plan::make_plan(
        *control_, parsed,
        plan::make_names(
            "m", static_cast<catalog::Oid>(std::stoul(
                     session.query_value("SELECT oid FROM pg_database WHERE "
                                         "datname = current_database()")))));
    pg::Transaction transaction(*control_);
    plan::build_shadows(*control_, parsed, plan_);
    capture::create_publication(*control_, plan_.names.publication,
                                plan_.sources);
    transaction.commit();
    pg::Connection replication = open_replication();
    const Lsn point = capture::create_slot(replication, plan_.names.slot,
                                           Deadline::in(kPatience));
    buffer_ = ChangeBuffer::create(folder_ + "/buffer", identity(), point);
    for (std::size_t i = 0; i < plan_.targets.size(); ++i) add_table(i);
    data_ = open("data");
    catalog::apply_settings(*data_, plan_.settings);
    fence_ = open("fence");
    start_receiver();
  }

  void TearDown() override {
    stop_receiver();
    buffer_.reset();
    std::filesystem::remove_all(folder_);
    if (!control_) return;
    capture::drop_slot(*control_, plan_.names.slot, Deadline::in(kPatience));
  }

  pg::Connection open(const std::string& role,
                      pg::Connection::Kind kind = pg::Connection::Kind::kSql,
                      const std::stop_token& stop = {}) {
    return pg::Connection::open(
        {.conninfo = dsn(), .application = "pgrecast m"}, role, stop, kind);
  }
  pg::Connection open_replication(const std::stop_token& stop = {}) {
    return open("stream", pg::Connection::Kind::kReplication, stop);
  }

  void start_receiver() {
    stopping_ = std::stop_source();
    received_ = nullptr;
    xids_ = std::make_unique<capture::XidReference>(
        Xid64{control_
                  ->exec("SELECT pg_snapshot_xmax(pg_current_snapshot())"
                         "::text")
                  .number<std::uint64_t>(0, 0)});
    fences_ = std::make_unique<capture::Fences>(plan_.names.slot, *xids_);
    std::vector<capture::CapturedTable> captured;
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      std::vector<std::string> columns;
      for (const auto& column : tables_[i].source.key->columns) {
        columns.push_back(column.name);
      }
      captured.push_back({.oid = tables_[i].source.oid,
                          .id = tables_[i].target.ordinal,
                          .key_columns = columns,
                          .codec = &codecs_[i]});
    }
    capture::free_slot(*control_, plan_.names.slot, Deadline::in(kPatience));
    receiver_ = std::make_unique<capture::Receiver>(
        pg::ReplicationStream(open_replication(stopping_.get_token()),
                              plan_.names.slot, plan_.names.publication),
        std::move(captured), *buffer_, *xids_, *fences_, status_);
    thread_ = std::jthread([this, token = stopping_.get_token()] {
      try {
        receiver_->run(token);
      } catch (...) {
        received_ = std::current_exception();
      }
    });
  }

  void stop_receiver() {
    stopping_.request_stop();
    if (thread_.joinable()) thread_.join();
    receiver_.reset();
  }

  // Returns when everything that was committed is in the buffer.
  void fence() { fences_->pass(*fence_, Deadline::in(kPatience), {}); }

  // How often a row whose key was noted stands in the buffer.
  std::uint64_t dirty_count(std::size_t table = 0) {
    SealedKeys sealed = buffer_->seal();
    const std::uint64_t count = sealed.count(tables_[table].target.ordinal);
    buffer_->forget(std::move(sealed),
                    [](TableId, std::string_view, Xid64) { return true; });
    return count;
  }
  bool dirty(const std::vector<std::string_view>& key, std::size_t table = 0) {
    std::string encoded;
    codecs_[table].encode(key, encoded);
    return buffer_->is_dirty(tables_[table].target.ordinal, encoded)
        .has_value();
  }
  void forget_all() {
    buffer_->forget(buffer_->seal(),
                    [](TableId, std::string_view, Xid64) { return false; });
  }

  std::int64_t blocks(std::size_t table = 0) {
    return catalog::count_blocks(*control_, tables_[table].source.oid);
  }
  std::int64_t copy(const copy::BlockRange& range, std::size_t table = 0) {
    return copy::copy_chunk(*data_, tables_[table], *guard_, range,
                            [](pg::Connection&, std::int64_t) {});
  }
  void copy_all() {
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      copy({.first = 0, .end = blocks(i)}, i);
    }
  }

  void build_indexes() {
    for (const plan::MigratedTable& table : tables_) {
      std::vector<plan::ShadowIndex> indexes = table.target.indexes;
      indexes.insert(indexes.begin(), table.target.key_index);
      for (const plan::ShadowIndex& index : indexes) {
        if (!index.create.empty()) data_->exec(index.create);
        if (index.constraint) data_->exec(*index.constraint);
        for (const std::string& more : index.then) data_->exec(more);
      }
    }
  }

  refresh::Rounds rounds(std::size_t keys_per_batch = 20000) {
    refresh::prefer_key_lookups(*data_);
    refresh::Rounds::Parts parts;
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      parts.tables.push_back({.table = &tables_[i],
                              .codec = &codecs_[i],
                              .statements = refresh::Statements(tables_[i])});
    }
    parts.buffer = &*buffer_;
    parts.gate = &gate_;
    parts.guard = &*guard_;
    parts.fence = [this](Deadline deadline,
                         const std::function<bool()>& wanted) {
      if (before_fence_) before_fence_();
      fences_->pass(*fence_, deadline, {}, wanted);
    };
    parts.keys_per_batch = keys_per_batch;
    return refresh::Rounds(std::move(parts));
  }

  // The source's rows as the shadow should have them and does not, and rows of
  // the shadow that should not be there; nobody may be writing.
  Rows differences(std::size_t table = 0) {
    const plan::TableTarget& target = tables_[table].target;
    std::string columns;
    for (const std::string& column : target.select.parts().compare_columns) {
      columns += (columns.empty() ? "" : ", ") + pg::quote_identifier(column);
    }
    const auto rows = [&](const std::string& query) {
      return fmt::format("SELECT ROW({})::text FROM ({}) AS r", columns, query);
    };
    const std::string source = rows(target.select.rows_to_compare("true"));
    const std::string shadow =
        rows(target.select.shadow_to_compare(target.shadow.quoted(), "true"));
    return session().query_rows(fmt::format(
        "(SELECT 'missing', * FROM ({0} EXCEPT ALL {1}) AS a) UNION ALL "
        "(SELECT 'surplus', * FROM ({1} EXCEPT ALL {0}) AS a) LIMIT 10",
        source, shadow));
  }
  void expect_in_step() {
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      EXPECT_EQ(differences(i), Rows{}) << tables_[i].target.source.name;
    }
  }
  std::string shadow(std::size_t table = 0) const {
    return tables_[table].target.shadow.quoted();
  }

  std::string folder_ = [] {
    std::string name = "/tmp/pgrecast-test-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    return name;
  }();
  // What happens before the rounds pass a fence.
  std::function<void()> before_fence_;
  plan::Plan plan_;
  std::optional<pg::Connection> control_;
  std::optional<pg::Connection> data_;
  std::optional<pg::Connection> fence_;
  std::deque<plan::MigratedTable> tables_;
  std::deque<KeyCodec> codecs_;
  std::optional<catalog::SourceGuard> guard_;
  std::optional<ChangeBuffer> buffer_;
  ForgetGate gate_;
  std::unique_ptr<capture::XidReference> xids_;
  std::unique_ptr<capture::Fences> fences_;
  capture::ReceiverStatus status_;
  std::unique_ptr<capture::Receiver> receiver_;
  std::exception_ptr received_;  // what ended the receiver
  std::stop_source stopping_;
  std::jthread thread_;

 private:
  BufferIdentity identity() const {
    return {.migration = "test",
            .system_identifier = 1,
            .timeline = 1,
            .database_oid = 1,
            .slot_name = plan_.names.slot};
  }

  static ColumnForm form_of(catalog::KeyForm form) {
    switch (form) {
      case catalog::KeyForm::kInt2:
        return ColumnForm::kInt2;
      case catalog::KeyForm::kInt4:
        return ColumnForm::kInt4;
      case catalog::KeyForm::kInt8:
        return ColumnForm::kInt8;
      case catalog::KeyForm::kOid:
        return ColumnForm::kOid;
      case catalog::KeyForm::kUuid:
        return ColumnForm::kUuid;
      case catalog::KeyForm::kTimestamp:
        return ColumnForm::kTimestamp;
      case catalog::KeyForm::kRaw:
        break;
    }
    return ColumnForm::kRaw;
  }

  void add_table(std::size_t i) {
    plan::MigratedTable table;
    table.target = plan_.targets[i];
    table.source = plan_.sources[i];
    table.shadow_oid =
        catalog::find_relation(*control_, table.target.shadow.schema,
                               table.target.shadow.name)
            .value();
    table.fingerprint = catalog::read_fingerprint(*control_, table.source.oid,
                                                  plan_.names.publication);
    std::vector<ColumnForm> forms;
    for (const auto& column : table.source.key->columns) {
      forms.push_back(form_of(column.form));
    }
    codecs_.emplace_back(std::move(forms));
    if (!guard_) guard_.emplace("SELECT 1");
    guard_->add_source(
        table.target.source.quoted(),
        catalog::fingerprint_check(table.fingerprint, table.source.oid,
                                   plan_.names.publication));
    tables_.push_back(std::move(table));
  }
};

}  // namespace pgrecast::test
