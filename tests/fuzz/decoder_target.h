#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/pgoutput/decoder.h"
#include "pgrecast/pgoutput/key_extractor.h"
#include "pgrecast/pgoutput/relation_cache.h"
#include "pgrecast/pgoutput/transport.h"

#include "support/pgoutput/encoder.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

// What any bytes are put through, by the fuzzer and by the test that replays
// its corpus.
//
// The input is a stream: frames of a length (two bytes, big-endian) and as many
// bytes, or fewer at the end. A frame is the payload of a CopyData, or, to save
// the fuzzer the way through XLogData, a message of pgoutput (no type byte is
// in both).
namespace pgrecast::pgoutput {

struct FuzzCounts {
  std::size_t decoded = 0;
  std::size_t refused = 0;
  std::size_t keys = 0;
  std::size_t keys_refused = 0;  // of messages that were decoded
};

class FuzzStream {
 public:
  // Throws nothing but a failed expectation (std::logic_error).
  FuzzCounts run(std::string_view input) {
    while (input.size() >= 2) {
      const std::size_t length =
          (static_cast<std::size_t>(static_cast<unsigned char>(input[0]))
           << 8U) |
          static_cast<unsigned char>(input[1]);
      input.remove_prefix(2);
      // A copy of the very size, so that a sanitizer sees a read beyond it.
      const std::vector<char> frame(
          input.begin(), input.begin() + static_cast<std::ptrdiff_t>(
                                             std::min(length, input.size())));
      input.remove_prefix(frame.size());
      take_frame({frame.data(), frame.size()});
    }
    return counts_;
  }

 private:
  void take_frame(std::string_view frame) {
    try {
      const bool is_copy_data =
          !frame.empty() && (frame[0] == 'w' || frame[0] == 'k');
      if (is_copy_data) {
        take_copy_data(frame);
      } else {
        take_payload(frame);
      }
      ++counts_.decoded;
    } catch (const ProtocolError&) {
      ++counts_.refused;
    }
  }

  void take_copy_data(std::string_view frame) {
    const CopyData data = decode_copy_data(frame);
    expect_same(Encoder::encode(data), frame);
    if (const auto* wal = std::get_if<XLogData>(&data)) {
      take_payload(wal->payload);
    }
  }

  void take_payload(std::string_view payload) {
    const Message message = decoder_.decode(payload);
    expect_same(Encoder::encode(message), payload);
    try {
      std::visit([&](const auto& m) { take_message(m); }, message);
    } catch (const ProtocolError&) {
      ++counts_.keys_refused;
    } catch (const SourceChanged&) {
      ++counts_.keys_refused;
    }
  }

  template <typename M>
  void take_message(const M& message) {
    if constexpr (std::is_same_v<M, Relation>) {
      put_relation(message);
    } else if constexpr (std::is_same_v<M, Insert> ||
                         std::is_same_v<M, Update>) {
      relations_.find(message.relation_oid).check_columns(message.new_tuple);
      take_keys(message);
    } else if constexpr (std::is_same_v<M, Delete>) {
      take_keys(message);
    }
  }

  // The key is whatever columns the relation says.
  void put_relation(const Relation& message) {
    if (relations_.put(message) == RelationCache::Put::kSame) return;
    extractors_.erase(message.oid);
    std::vector<std::string> key;
    for (const RelationColumn& column : message.columns) {
      if (column.in_replica_identity) key.emplace_back(column.name);
    }
    if (key.empty()) return;
    extractors_.emplace(message.oid,
                        KeyExtractor(relations_.find(message.oid), key));
  }

  template <typename Change>
  void take_keys(const Change& change) {
    const auto extractor = extractors_.find(change.relation_oid);
    if (extractor == extractors_.end()) return;
    for (const Key key : extractor->second.keys_of(change)) {
      ++counts_.keys;
      for (const std::string_view value : key) {
        // Read, so that a sanitizer sees a view that is not valid.
        read_ += std::string(value).size();
      }
    }
  }

  // Nothing of the message was overlooked, and nothing invented.
  static void expect_same(std::string_view encoded, std::string_view bytes) {
    if (encoded != bytes) {
      throw std::logic_error("what was decoded encodes to other bytes");
    }
  }

  Decoder decoder_;
  RelationCache relations_;
  std::map<std::uint32_t, KeyExtractor> extractors_;
  FuzzCounts counts_;
  std::size_t read_ = 0;
};

}  // namespace pgrecast::pgoutput
