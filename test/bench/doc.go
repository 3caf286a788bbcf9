// Package bench measures Larder, as real node processes, beside what else
// could do the same work, and says which targets are met: 'make bench'. And
// beside itself, where nodes, keys, connections, bytes and researchers are few
// and where they are many, and says what grows faster than the work: 'make
// scale', in files named scale_. Only benchmarks are in this package, in files
// of one row each; what they share is
//
//	blob     the bytes that all serve
//	load     the load generator for large bodies; wrk is that for small ones
//	rival    what no package brings to measure against
//	report   the tables, and the judgement
//
// Every comparison takes turns in rounds, the ratio is taken round by round,
// and the median of the ratios is judged. Servers, load generators and S3 are
// processes of their own; the rows that time single requests send them from
// this one.
package bench
