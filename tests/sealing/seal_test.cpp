#include <cstring>
#include <string>

#include "serialize/encoding.hpp"
#include "serialize/format.hpp"
#include "tests/format_document.hpp"
#include "tests/sealing/sealing.hpp"

namespace {

namespace header = stackless::snapshot::sealed_header;
using namespace sealing;
using stackless::key;
using stackless::seal;
using stackless::unseal;

constexpr std::size_t tag_size = 16;

TEST(seals, what_is_sealed_is_unsealed) {
  const key k = key::random();
  for (std::size_t size : {0u, 1u, 15u, 16u, 17u, 3'000'001u}) {
    const bytes plain(size, std::byte{7});
    const bytes sealed = seal(plain, k);
    EXPECT_EQ(sealed.size(), header::size + size + tag_size);
    EXPECT_TRUE(unseal(sealed, k) == plain) << size;
  }
}

TEST(seals, nothing_of_it_can_be_read) {
  const bytes plain = text("the rain in Spain");
  const bytes sealed = seal(plain, counting());
  for (const bytes& secret : {plain, bytes_of(counting())})
    EXPECT_EQ(std::search(sealed.begin(), sealed.end(), secret.begin(), secret.begin() + 8), sealed.end());
}

TEST(seals, never_twice_with_the_same_nonce) {
  const bytes first = seal(text("same"), counting()), second = seal(text("same"), counting());
  EXPECT_TRUE(std::equal(first.begin(), first.begin() + header::nonce_at, second.begin()));
  EXPECT_NE(std::memcmp(&first[header::nonce_at], &second[header::nonce_at], 24), 0);
  EXPECT_NE(std::memcmp(&first[header::size], &second[header::size], 4 + tag_size), 0);
}

TEST(seals, wrong_key_is_told_from_damage) {
  const auto error = error_of(seal(text("content"), key::random()));
  EXPECT_EQ(error.reason(), kind::wrong_key);
  EXPECT_EQ(error.about().reason, "sealed with another key");
  EXPECT_EQ(error.about().expected.size(), 32u);
  EXPECT_NE(error.about().expected, error.about().found);
}

TEST(seals, wrong_key_that_claims_to_be_the_right_one) {
  bytes sealed = seal(text("content"), key::random());
  const bytes other = seal(text("content"), counting());
  std::copy_n(&other[header::key_id_at], 16, &sealed[header::key_id_at]);
  EXPECT_EQ(error_of(sealed).reason(), kind::damaged);
}

TEST(seals, header_of_one_on_the_body_of_another) {
  bytes sealed = seal(text("transfer 100"), counting());
  const bytes other = seal(text("transfer 999"), counting());
  std::copy_n(other.begin(), header::size, sealed.begin());
  const auto error = error_of(sealed);
  EXPECT_EQ(error.reason(), kind::damaged);
  EXPECT_EQ(error.about().reason, "authentication failed: this is not what was sealed with the key");
}

TEST(seals, cut_at_every_length) {
  const bytes sealed = seal(text("a small one"), counting());
  const std::size_t least = header::size + tag_size;
  for (std::size_t length = 1; length != sealed.size(); ++length) {
    const auto error = error_of(bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(length)));
    ASSERT_EQ(error.reason(), kind::damaged) << length;
    ASSERT_EQ(error.about().reason,
              length < least ? "truncated: at least " + std::to_string(least - length) + " bytes are missing"
                             : "truncated: " + std::to_string(sealed.size() - length) + " bytes are missing");
  }
}

TEST(seals, cut_with_a_header_that_hides_it) {
  bytes sealed = seal(text("a small one"), counting());
  while (sealed.size() > header::size + tag_size) {
    sealed.pop_back();
    stackless::snapshot::store(&sealed[header::size_at], std::uint64_t{sealed.size()});
    ASSERT_EQ(error_of(sealed).reason(), kind::damaged) << sealed.size();
  }
}

TEST(seals, what_follows_the_end_is_refused) {
  bytes sealed = seal(text("a small one"), counting());
  sealed.push_back(std::byte{0});
  EXPECT_EQ(error_of(sealed).about().reason, "1 bytes follow the end of the snapshot");
}

TEST(seals, every_bit_flipped) {
  bytes sealed = seal(text("a small one"), counting());
  for (std::size_t i = 0; i != sealed.size(); ++i) {
    for (unsigned bit = 0; bit != 8; ++bit) {
      sealed[i] ^= static_cast<std::byte>(1u << bit);
      const kind why = error_of(sealed).reason();
      if (i < header::version_at)
        ASSERT_EQ(why, kind::not_sealed) << i;
      else if (i < header::size_at)
        ASSERT_EQ(why, i == header::version_at && bit == 0 ? kind::damaged : kind::too_new) << i;
      else if (i >= header::key_id_at && i < header::nonce_at)
        ASSERT_EQ(why, kind::wrong_key) << i;
      else
        ASSERT_EQ(why, kind::damaged) << i;
      sealed[i] ^= static_cast<std::byte>(1u << bit);
    }
  }
  EXPECT_NO_THROW(unseal(sealed, counting()));
}

TEST(seals, a_newer_format_is_named) {
  bytes sealed = seal(text("content"), counting());
  stackless::snapshot::store(&sealed[header::version_at], std::uint64_t{7});
  const auto error = error_of(sealed);
  EXPECT_EQ(error.reason(), kind::too_new);
  EXPECT_EQ(error.about().reason, "sealed in format 7; this reader knows format 1");
  EXPECT_FALSE(error.about().hint.empty());
}

TEST(seals, not_sealed) {
  for (std::string_view plain : {"", "hello", "\x8bSLC\r\n\x1a\n and so on", "\x8bSEC"}) {
    const auto error = error_of(text(plain));
    EXPECT_EQ(error.reason(), kind::not_sealed) << plain;
    EXPECT_EQ(error.about().reason, plain.empty() ? "not sealed: it is empty" : "not sealed");
    EXPECT_FALSE(error.about().hint.empty());
  }
}

TEST(seals, the_hexdump_of_the_document_can_be_unsealed) {
  EXPECT_EQ(unseal(hexdump_in_document("```sealed hexdump"), counting()), text("hello"));
}

}  // namespace
