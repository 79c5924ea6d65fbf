#include "api/result_body.hpp"

#include <boost/system/errc.hpp>

namespace gateway::api {

result_body::result_body(std::string head, const jobs::stored_result& result, std::string tail)
{
    text_.add(std::move(head));
    text_.add_spliced(result.file, result.splice, result.extra);
    text_.add(std::move(tail));
}

net::task<result<std::string>> read_all(std::shared_ptr<net::body_source> source)
{
    std::string text(source->size().value_or(0), '\0');
    std::size_t filled = 0;
    while (filled < text.size()) {
        const std::span<char> rest(text.data() + filled, text.size() - filled);
        const auto n = co_await source->read(rest);
        if (!n)
            co_return n.error();
        if (*n == 0) // shorter than the journal says
            co_return boost::system::errc::make_error_code(boost::system::errc::io_error);
        filled += *n;
    }
    co_return std::move(text);
}

} // namespace gateway::api
