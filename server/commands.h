/* The subcommands of belfry. Each returns the exit code of the process: 0 done, 1 failed while running, 2 bad
 * configuration or bad arguments. argv[0] is the subcommand itself. */
#ifndef SERVER_COMMANDS_H
#define SERVER_COMMANDS_H

int cmd_serve(void);
int cmd_token(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_script(int argc, char **argv);
int cmd_health(int argc, char **argv);
int cmd_status(int argc, char **argv);

#endif
