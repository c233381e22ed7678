import { applyDecorators, Controller, Get, Header } from '@nestjs/common';
import { ApiExcludeController } from '../common/openapi-decorators.js';
import { readFileSync } from 'node:fs';
import { Public } from '../common/principal.js';
import { Config } from '../config/config.js';
import { resetPasswordPage, verifyEmailPage } from './account-pages.js';
import { STYLESHEET } from './stylesheet.js';

/** Own script, own style, calls to this service; nothing of another origin and nothing inline (CSP 3). */
const PAGE_POLICY =
  "default-src 'none';script-src 'self';style-src 'self';connect-src 'self';" +
  "base-uri 'none';form-action 'none';frame-ancestors 'none'";

const Page = () =>
  applyDecorators(
    Header('Content-Type', 'text/html; charset=utf-8'),
    Header('Content-Security-Policy', PAGE_POLICY),
    Header('X-Robots-Tag', 'noindex'),
  );

/**
 * The pages behind the links in mails. The token of a link is in its fragment, which never gets here: the page's script
 * sends it in a POST, once a person has pressed the button.
 */
@ApiExcludeController()
@Public()
@Controller()
export class PagesController {
  private readonly verifyEmailHtml: string;
  private readonly resetPasswordHtml: string;
  private readonly scriptText = readFileSync(new URL('./account-page.js', import.meta.url), 'utf8');

  constructor(config: Config) {
    this.verifyEmailHtml = verifyEmailPage(config);
    this.resetPasswordHtml = resetPasswordPage(config);
  }

  @Get('verify-email')
  @Page()
  verifyEmail(): string {
    return this.verifyEmailHtml;
  }

  @Get('reset-password')
  @Page()
  resetPassword(): string {
    return this.resetPasswordHtml;
  }

  @Get('assets/account-page.js')
  @Header('Content-Type', 'text/javascript; charset=utf-8')
  script(): string {
    return this.scriptText;
  }

  @Get('assets/account-page.css')
  @Header('Content-Type', 'text/css; charset=utf-8')
  style(): string {
    return STYLESHEET;
  }
}
