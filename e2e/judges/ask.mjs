import { spawn } from 'node:child_process'
import { atDesk } from './desk.mjs'

/**
 * Asks every judge at one desk, one after the other, says in a line what each found, and has this process
 * end with 1 if one of them is not satisfied. A signal ends the judge that is being asked, and no
 * other is asked; the desk is cleared away all the same.
 * @param {{ name: string, command: string[] }[]} judges who judges, and how it is asked
 * @param {string} cwd the folder of the commands
 * @param {(desk: import('./desk.mjs').Desk) => Record<string, string>} [more]
 * what else than the desk's own the commands find in their environment
 */
export async function askAll(judges, cwd, more = () => ({})) {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let asked
  let stopped = false
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
    process.once(signal, () => {
      stopped = true
      asked?.kill(signal)
    })
  }
  await atDesk(async (environment, desk) => {
    const env = { ...environment, ...more(desk) }
    const verdicts = []
    for (const { name, command: [program, ...args] } of judges) {
      if (stopped) break
      console.log(`\n-- ${name}`)
      const satisfied = await new Promise((resolve, reject) => {
        asked = spawn(program, args, { env, cwd, stdio: ['ignore', 'inherit', 'inherit'] })
        asked.once('error', reject)
        asked.once('exit', (code) => resolve(code === 0))
      })
      verdicts.push(`${satisfied ? 'satisfied    ' : 'NOT SATISFIED'}  ${name}`)
      if (!satisfied) process.exitCode = 1
    }
    console.log(`\n${verdicts.join('\n')}`)
  })
}
