#pragma once

/// What an HTTP/1.1 server says to what it hears on one connection. How the bytes come and go is another's business.

#include <http_parser.h>

#include <string>
#include <string_view>

class http_session {
 public:
  http_session() { http_parser_init(&parser_, HTTP_REQUEST); }

  /// The client has sent this. Answers, of one request or of several, are added to the output.
  void take(std::string_view bytes);

  /// To be sent. The caller takes away what it has sent.
  std::string& output() { return output_; }

  /// The connection has to be closed when the output is sent.
  bool over() const { return over_; }

 private:
  struct callbacks;
  struct status;
  static const http_parser_settings settings;

  void begin();
  void answer();
  void respond(const status&, std::string_view content);

  http_parser parser_;
  std::string output_;
  bool over_ = false;

  // Of the request that is being read.
  std::string target_;
  std::string field_;  ///< the name of a header field
  bool field_is_complete_ = false;
  int hosts_ = 0;
};
