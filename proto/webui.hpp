#pragma once

// The WebUI's wire in one include: requests, replies, lists and dialects.

#include "proto/webui_dialect.hpp"
#include "proto/webui_job.hpp"
#include "proto/webui_lists.hpp"
#include "proto/webui_reply.hpp"
