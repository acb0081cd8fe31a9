#include "pgrecast/pgoutput/decoder.h"

#include "property/pgoutput/any_message.h"
#include "support/pgoutput/encoder.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdint>
#include <string>

namespace pgrecast::pgoutput {
namespace {

RC_GTEST_PROP(DecoderProperty, DecodesWhatWasEncoded, ()) {
  Arena arena;
  Decoder decoder;
  // One decoder for all, since its buffers are used again.
  const int count = *rc::gen::inRange(1, 20);
  for (int i = 0; i < count; ++i) {
    const Message message = any_message(arena, decoder.in_stream_block());
    const std::string payload = Encoder::encode(message);

    RC_ASSERT(decoder.decode(payload) == message);
  }
}

RC_GTEST_PROP(DecoderProperty, DecodesCopyDataThatWasEncoded, ()) {
  Arena arena;
  const CopyData data =
      *rc::gen::arbitrary<bool>()
          ? CopyData(XLogData{.data_start = any_lsn(),
                              .wal_end = any_lsn(),
                              .sent_at_us = *rc::gen::arbitrary<std::int64_t>(),
                              .payload = any_bytes(arena)})
          : CopyData(
                Keepalive{.wal_end = any_lsn(),
                          .sent_at_us = *rc::gen::arbitrary<std::int64_t>(),
                          .reply_requested = *rc::gen::arbitrary<bool>()});
  const std::string bytes = Encoder::encode(data);

  RC_ASSERT(decode_copy_data(bytes) == data);
}

}  // namespace
}  // namespace pgrecast::pgoutput
