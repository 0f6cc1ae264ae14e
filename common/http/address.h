/* Is an IP address one of the public internet? Everything else (loopback, private networks,
 * link-local, shared, reserved, documentation, multicast) is named by what it is. */
#ifndef LS_HTTP_ADDRESS_H
#define LS_HTTP_ADDRESS_H

#include <sys/socket.h>

/* NULL: public. Else a literal for people: "loopback", "private", "link-local", ... What carries an
 * IPv4 address (mapped, NAT64, 6to4) is what that address is. Neither IPv4 nor IPv6: "not an
 * internet address". */
const char *ls_address_refusal(const struct sockaddr *address);
/* The same for its text, "10.0.0.1", "::1", with a zone or without. NULL or no address:
 * "unreadable". */
const char *ls_address_text_refusal(const char *text);

#endif
