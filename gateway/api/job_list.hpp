#pragma once

// A page of the list of jobs, newest first: put together in bounded steps, so that a million jobs
// hold up nobody.

#include "jobs/jobs.hpp"
#include "net/http.hpp"
#include "proto/native.hpp"

#include <functional>

namespace gateway::api {

struct list_query {
    proto::job_filter filter;
    std::size_t limit = 50;
    core::job_key below = 0; // where to go on; 0: at the newest
};
proto::parsed<list_query> parse_list_query(const net::request& from);

class list_page {
public:
    static constexpr std::size_t looks = 200;          // jobs looked at in one turn of the loop
    static constexpr std::size_t most_looks = 100'000; // and for one page
    using writer = std::function<void(std::string&, const jobs::view&)>;

    list_page(const list_query& query, writer show);

    bool wants_more() const { return !ended_ && found_ < limit_ && looked_ < most_looks; }
    core::job_key at() const { return at_; }
    // The next jobs below at(); `asked` for so many.
    void take(const std::vector<jobs::view>& next, std::size_t asked);
    std::string body();

private:
    proto::job_filter filter_;
    std::size_t limit_;
    core::job_key at_;
    writer show_;
    std::string jobs_; // as JSON
    std::size_t found_ = 0;
    std::size_t looked_ = 0;
    bool ended_ = false;
};

} // namespace gateway::api
