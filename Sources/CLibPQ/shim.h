// libpq as Swift sees it: the library itself, and its macros that Swift cannot import.
#ifndef MILLRACE_CLIBPQ_SHIM_H
#define MILLRACE_CLIBPQ_SHIM_H

#include <postgresql/libpq-fe.h>

static const int millrace_diag_severity = PG_DIAG_SEVERITY_NONLOCALIZED;
static const int millrace_diag_sqlstate = PG_DIAG_SQLSTATE;
static const int millrace_diag_message = PG_DIAG_MESSAGE_PRIMARY;
static const int millrace_diag_hint = PG_DIAG_MESSAGE_HINT;
static const int millrace_diag_constraint = PG_DIAG_CONSTRAINT_NAME;

#endif
